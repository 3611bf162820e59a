/** A plan as the model repository asks for it: model by model. */
import { join } from "node:path";
import type {
  CascadePlacement,
  ModelPlacement,
  PlacedCopy,
  PlacedStage,
  PlacementSource,
} from "../../model-repo/plan/placement.ts";
import type { Placement, PlanFile, PlannedModel, PlannedStage } from "../../proto/files/plan-file.ts";
import { canonicalJson, textHash } from "../../proto/files/policy-hash.ts";

export class PlanPlacements implements PlacementSource {
  readonly plan: PlanFile;
  readonly #models: ReadonlyMap<string, ModelPlacement>;

  /** `directory` holds the plan's files, absolute. The plan has been checked. */
  constructor(plan: PlanFile, directory: string) {
    this.plan = plan;
    this.#models = new Map(
      plan.models.map((model) => [`${model.name}/${model.version}`, modelPlacement(plan, model, directory)]),
    );
  }

  placementOf(model: string, version: string): ModelPlacement | undefined {
    return this.#models.get(`${model}/${version}`);
  }

  cascadePlacementOf(model: string): CascadePlacement | undefined {
    const { cascade, gears } = this.plan;
    if (cascade === null || cascade.name !== model) return undefined;
    return {
      operatingPoint: cascade.operatingPoint,
      gears: gears.map((gear) => `${gear.operatingPoint}@${gear.fromRate}/s`).join(","),
    };
  }

  /** Models and cascades that the plan speaks of. */
  get names(): ReadonlySet<string> {
    const names = new Set(this.plan.models.map((model) => model.name));
    if (this.plan.cascade !== null) names.add(this.plan.cascade.name);
    return names;
  }
}

function modelPlacement(plan: PlanFile, model: PlannedModel, directory: string): ModelPlacement {
  const planned = plan.stages.filter((stage) => stage.model === model.name).sort((a, b) => a.index - b.index);
  const stages = planned.map((stage) => placedStage(plan, model, stage, directory));
  const files = planned.map((stage) => stage.file);
  const copies = stages.map((stage) => stage.copies);
  return {
    modelHash: model.modelHash,
    batch: model.batch,
    stages,
    golden:
      model.numerics === null
        ? undefined
        : {
            file: join(directory, model.numerics.golden.path),
            maxAbsDifference: model.numerics.maxAbsDifference,
          },
    fingerprint: textHash(canonicalJson({ model, files, copies, directory })),
  };
}

function placedStage(plan: PlanFile, { weights }: PlannedModel, stage: PlannedStage, directory: string): PlacedStage {
  return {
    id: stage.id,
    file: stage.file === null ? undefined : join(directory, stage.file.path),
    weights: weights === null ? undefined : join(directory, weights.path),
    inputs: stage.inputs,
    outputs: stage.outputs,
    graphOptimizationLevel: stage.graphOptimizationLevel,
    copies: plan.placements
      .filter((placement) => placement.stage === stage.id)
      .sort((a, b) => a.replica - b.replica)
      .flatMap((placement) => placedCopy(plan, placement)),
  };
}

/** None where the plan names no such device: its check has refused that before. */
function placedCopy(plan: PlanFile, { device: id, intraOpThreads }: Placement): PlacedCopy[] {
  const device = plan.devices.find((each) => each.id === id);
  const deviceClass = plan.classes.find((each) => each.name === device?.class);
  return device === undefined || deviceClass === undefined ? [] : [{ device, class: deviceClass, intraOpThreads }];
}
