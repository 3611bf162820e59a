/** A plan in a model's configuration, so that clients and the batcher see what runs. Pure. */
import type { ModelConfig, ModelInstanceGroup } from "../config/model-config.ts";
import type { CascadePlacement, ModelPlacement, PlacedCopy } from "./placement.ts";

/** Instance groups and dynamic batching of the configuration, replaced by the plan's. */
export function applyPlacement(config: ModelConfig, placement: ModelPlacement): ModelConfig {
  const { batch, stages } = placement;
  const own = config.dynamic_batching;
  return {
    ...config,
    ...(config.max_batch_size === 0
      ? {}
      : {
          dynamic_batching: {
            ...(own ?? NO_BATCHING_SETTINGS),
            preferred_batch_size: batch.preferred,
            max_queue_delay_microseconds: batch.maxQueueDelayUs,
          },
        }),
    instance_group: stages.flatMap((stage) => groupsOf(stage.id, stage.copies)),
  };
}

/** Operating point and gears of a cascade's configuration, replaced by the plan's. */
export function applyCascadePlacement(config: ModelConfig, { operatingPoint, gears }: CascadePlacement): ModelConfig {
  const parameters = { ...config.parameters, operating_point: { string_value: operatingPoint } };
  return { ...config, parameters: gears === "" ? parameters : { ...parameters, gears: { string_value: gears } } };
}

const NO_BATCHING_SETTINGS = {
  preserve_ordering: false,
  priority_levels: 0,
  default_priority_level: 0,
  priority_queue_policy: {},
};

/** A group for the CPU copies of a stage and one for its CUDA copies. */
function groupsOf(stage: string, copies: readonly PlacedCopy[]): ModelInstanceGroup[] {
  const cpu = copies.filter((copy) => copy.class.kind === "cpu");
  const cuda = copies.filter((copy) => copy.class.kind === "cuda");
  const group = (name: string, count: number, gpus: readonly number[]): ModelInstanceGroup => ({
    name,
    kind: gpus.length === 0 ? "KIND_CPU" : "KIND_GPU",
    count,
    gpus,
    secondary_devices: [],
    profile: [],
    passive: false,
    host_policy: "",
  });
  return [
    ...(cpu.length === 0 ? [] : [group(stage, cpu.length, [])]),
    ...[...new Set(cuda.map((copy) => copy.device.ordinal))].map((ordinal) =>
      group(`${stage}_gpu${ordinal}`, cuda.filter((copy) => copy.device.ordinal === ordinal).length, [ordinal]),
    ),
  ];
}
