/** The fleet of a plan, for the simulator: placements from the plan, service times from the profile it was made of. */

import { ELEMENT_BYTES } from "../proto/datatypes.ts";
import { InferenceError } from "../proto/errors.ts";
import type { PlanFile, PlannedModel, PlannedStage, StageTensor } from "../proto/files/plan-file.ts";
import type { ProfileFile } from "../proto/files/profile-file.ts";
import type { Fleet, Level, Stage } from "./fleet.ts";
import { wholeModel } from "./plan/stage-options.ts";

/**
 * Levels in the plan's order of levels. A model that is not cut takes the profile's samples and energy; the stages of a
 * cut one take the means that the plan holds, since a profile is of whole models. Throws FAILED_PRECONDITION where the
 * profile lacks a model or measured other files than the plan's.
 */
export function fleetOfPlan(plan: PlanFile, profile: ProfileFile): Fleet {
  const models = [...plan.models].sort((a, b) => a.level - b.level);
  const places = new Map<string, { readonly level: number; readonly stage: number }>();
  const levels = models.map((model, level): Level => {
    for (const [stage, id] of model.stages.entries()) places.set(id, { level, stage });
    return {
      model: model.name,
      batch: {
        maxBatchSize: model.batch.max,
        preferredBatchSizes: model.batch.preferred,
        maxQueueDelayMs: model.batch.maxQueueDelayUs / 1000,
        preserveOrdering: false,
      },
      stages: stagesOf(plan, model, profile),
    };
  });
  const deviceIndex = new Map(plan.devices.map(({ id }, i) => [id, i]));
  return {
    classes: plan.classes,
    devices: plan.devices,
    links: plan.links,
    levels,
    replicas: plan.placements.flatMap(({ stage, device, share }) => {
      const place = places.get(stage);
      const index = deviceIndex.get(device);
      return place === undefined || index === undefined ? [] : [{ ...place, device: index, share }];
    }),
  };
}

function stagesOf(plan: PlanFile, model: PlannedModel, profile: ProfileFile): Stage[] {
  const { name, version, modelHash } = model;
  const measured = profile.models.find((each) => each.name === name && each.version === version);
  if (measured === undefined) throw stale(`the profile has no model '${name}' version ${version}`);
  if (measured.modelHash !== modelHash) {
    throw stale(`the profile measured other files of model '${name}' version ${version} than the plan is for`);
  }
  const planned = model.stages.flatMap((id) => plan.stages.find((stage) => stage.id === id) ?? []);
  const whole = model.stages.length === 1 ? wholeModel(measured)?.stages[0] : undefined;
  return planned.map((stage) => (whole === undefined ? stageFromPlan(stage) : { ...whole, id: stage.id }));
}

function stageFromPlan({ id, serviceMs, peakBytes, outputs }: PlannedStage): Stage {
  return {
    id,
    memoryBytes: new Map(serviceMs.map((service) => [service.class, peakBytes])),
    service: new Map(
      serviceMs.map(({ class: className, batchSizes, meanMs }) => [
        className,
        { batchSizes, samplesMs: meanMs.map((ms) => [ms]) },
      ]),
    ),
    energyJ: new Map(),
    outputBytesPerRow: outputs.reduce((sum, output) => sum + bytesPerRow(output), 0),
  };
}

/** Of the dimensions behind the batch's; one whose size is open counts once; strings, whose size no shape tells, not at all. */
function bytesPerRow({ datatype, shape }: StageTensor): number {
  return shape.slice(1).reduce((size, dim) => size * Math.max(1, dim), ELEMENT_BYTES[datatype]);
}

function stale(text: string): InferenceError {
  return new InferenceError(
    "FAILED_PRECONDITION",
    `${text}; profile and plan again (hybridserve profile, hybridserve plan)`,
  );
}
