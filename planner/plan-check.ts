/**
 * Whether a plan contradicts itself. Looks only at the plan, and knows nothing of how plans are made, so that a mistake of
 * the optimisers does not pass here too.
 */
import { coresOf } from "../proto/core-list.ts";
import type { PlanFile, PlannedModel, PlannedStage } from "../proto/files/plan-file.ts";
import { reachOf } from "../proto/files/workload-file.ts";

/** Shares and rates are written as decimals. */
const ROUNDING = 1e-6;

/** One sentence for each contradiction, the most basic first; empty: the plan is sound. */
export function checkPlan(plan: PlanFile): string[] {
  return [
    ...namesProblems(plan),
    ...levelProblems(plan),
    ...plan.models.flatMap((model) => stageProblems(plan, model)),
    ...placementProblems(plan),
    ...memoryProblems(plan),
    ...coreProblems(plan),
    ...gearProblems(plan),
  ];
}

/** Names twice, and names of nothing. */
function namesProblems(plan: PlanFile): string[] {
  const stageIds = new Set(plan.stages.map(({ id }) => id));
  const deviceIds = new Set(plan.devices.map(({ id }) => id));
  const listed = new Set(plan.models.flatMap(({ stages }) => stages));
  return [
    ...twice(plan.models.map(({ name }) => name)).map((name) => `model '${name}' is planned twice`),
    ...twice(plan.stages.map(({ id }) => id)).map((id) => `there are two stages '${id}'`),
    ...twice(plan.models.flatMap(({ stages }) => stages)).map((id) => `stage '${id}' is listed twice`),
    ...plan.stages.filter(({ id }) => !listed.has(id)).map(({ id }) => `no model lists stage '${id}'`),
    ...unique(plan.placements.map(({ stage }) => stage))
      .filter((id) => !stageIds.has(id))
      .map((id) => `a placement names stage '${id}', which the plan does not have`),
    ...unique(plan.placements.map(({ device }) => device))
      .filter((id) => !deviceIds.has(id))
      .map((id) => `a placement names device '${id}', which the plan does not have`),
  ];
}

/** Levels count up from 0, and their reach is what the paths say, shadows of the last level beside it. */
function levelProblems({ models, workload }: PlanFile): string[] {
  const problems: string[] = [];
  const levels = models.map(({ level }) => level).sort((a, b) => a - b);
  if (levels.some((level, i) => level !== i)) {
    problems.push(`the models' levels are ${levels.join(", ")} instead of 0 to ${models.length - 1}`);
    return problems;
  }
  const reach = reachOf(workload.paths);
  for (const { name, level, reach: planned } of models) {
    const own = reach[level] ?? 0;
    const shadows = level === models.length - 1 && level > 0 ? workload.shadowShare * (1 - own) : 0;
    if (Math.abs(planned - own - shadows) > ROUNDING) {
      problems.push(
        `model '${name}' is planned for a reach of ${planned}, but the workload's paths give ${own + shadows}`,
      );
    }
  }
  return problems;
}

/** A model's stages are its own, in order, without gaps, and take tensors that are there by then. */
function stageProblems(plan: PlanFile, model: PlannedModel): string[] {
  const problems: string[] = [];
  const stages = model.stages.map((id) => plan.stages.find((stage) => stage.id === id));
  const isCut = model.stages.length > 1;
  let nextNode = 0;
  for (const [i, stage] of stages.entries()) {
    const id = model.stages[i] ?? "";
    if (stage === undefined) {
      problems.push(`model '${model.name}' lists stage '${id}', which the plan does not have`);
      continue;
    }
    if (stage.model !== model.name || stage.index !== i) {
      problems.push(
        `stage '${id}' is stage ${i} of model '${model.name}', but says it is ${stage.index} of '${stage.model}'`,
      );
    }
    if (isCut ? stage.file === null || stage.cut === null : stage.file !== null || stage.cut !== null) {
      problems.push(
        isCut
          ? `stage '${id}' of the cut model '${model.name}' needs a file and its cut`
          : `stage '${id}' has a file or a cut, but model '${model.name}' is not cut`,
      );
    }
    if (stage.cut !== null) {
      if (stage.cut.fromNode !== nextNode) {
        problems.push(`stage '${id}' begins at node ${stage.cut.fromNode}, the one before it ends at ${nextNode}`);
      }
      nextNode = stage.cut.toNode;
    }
    problems.push(...tensorProblems(stage, stages.slice(0, i)));
  }
  if (isCut && model.numerics === null) {
    problems.push(`model '${model.name}' is cut, but the plan does not say how far its answers may differ`);
  }
  return problems;
}

function tensorProblems(stage: PlannedStage, before: readonly (PlannedStage | undefined)[]): string[] {
  return stage.inputs.flatMap(({ name, from }) => {
    if (from === "") return [];
    const source = before.find((earlier) => earlier?.id === from);
    if (source === undefined) return [`stage '${stage.id}' takes '${name}' from '${from}', which is no earlier stage`];
    if (source.outputs.some((output) => output.name === name)) return [];
    return [`stage '${stage.id}' takes '${name}' from '${from}', which does not hand it on`];
  });
}

/** Every stage has copies, numbered and with shares that make up 1, on devices that can run it. */
function placementProblems(plan: PlanFile): string[] {
  const classOf = new Map(plan.devices.map((device) => [device.id, device.class]));
  const copiesOf = Map.groupBy(plan.placements, ({ stage }) => stage);
  return plan.stages.flatMap((stage) => {
    const copies = copiesOf.get(stage.id) ?? [];
    if (copies.length === 0) return [`stage '${stage.id}' is placed nowhere`];
    const problems: string[] = [];
    const numbers = copies.map(({ replica }) => replica);
    problems.push(...twice(numbers).map((number) => `stage '${stage.id}' has two copies ${number}`));
    const share = copies.reduce((sum, copy) => sum + copy.share, 0);
    if (Math.abs(share - 1) > ROUNDING) {
      problems.push(`the shares of stage '${stage.id}' add up to ${share}, not to 1`);
    }
    const measured = new Set(stage.serviceMs.map((service) => service.class));
    for (const name of unique(copies.flatMap(({ device }) => classOf.get(device) ?? []))) {
      if (!measured.has(name)) problems.push(`stage '${stage.id}' is placed on class '${name}', where it has no times`);
    }
    return problems;
  });
}

function memoryProblems(plan: PlanFile): string[] {
  const capacityOf = new Map(plan.classes.map(({ name, memoryBytes }) => [name, memoryBytes]));
  const needOf = new Map(plan.stages.map(({ id, peakBytes }) => [id, peakBytes]));
  const placed = Map.groupBy(plan.placements, ({ device }) => device);
  return plan.devices.flatMap(({ id, class: className }) => {
    const copies = placed.get(id) ?? [];
    const bytes = copies.reduce((sum, { stage }) => sum + (needOf.get(stage) ?? 0), 0);
    const capacity = capacityOf.get(className) ?? 0;
    if (bytes <= capacity) return [];
    const stages = copies.map(({ stage }) => stage).join(", ");
    return [`device '${id}' holds ${bytes} bytes (${stages}), its class '${className}' has ${capacity}`];
  });
}

/** Two CPU devices that share a core would both count its time. */
function coreProblems({ devices }: PlanFile): string[] {
  const owners = new Map<string, string>();
  return devices.flatMap(({ id, node, cpus }) => {
    const claims = coresOf(cpus).map((core) => ({ core, place: `${node} ${core}` }));
    const taken = claims.find(({ place }) => owners.has(place));
    const owner = taken === undefined ? undefined : owners.get(taken.place);
    for (const { place } of claims) owners.set(place, id);
    return taken === undefined ? [] : [`devices '${owner}' and '${id}' both have core ${taken.core} of node '${node}'`];
  });
}

/** Gears follow each other without gaps. */
function gearProblems({ gears }: PlanFile): string[] {
  return gears.flatMap(({ operatingPoint, fromRate, toRate }, i) => {
    const start = gears[i - 1]?.toRate ?? 0;
    if (fromRate !== start) {
      return [
        `the gear of point '${operatingPoint}' begins at ${fromRate} requests/s, the one before it ends at ${start}`,
      ];
    }
    return toRate > fromRate ? [] : [`the gear of point '${operatingPoint}' ends before it begins`];
  });
}

/** Each value once. */
function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

/** Values that are there more than once, each once. */
function twice<T>(values: readonly T[]): T[] {
  const seen = new Set<T>();
  return unique(
    values.filter((value) => {
      if (seen.has(value)) return true;
      seen.add(value);
      return false;
    }),
  );
}
