/** What a plan says of single models, as the repository needs it: copies on devices instead of instance groups. */
import type { DataType } from "../../proto/datatypes.ts";
import type { Device, DeviceClass } from "../../proto/files/devices-file.ts";
import type { PlannedBatch } from "../../proto/files/plan-file.ts";

/** One version of a model, placed. */
export interface ModelPlacement {
  /** Of the version's files that the plan was made for, as `levelHash` computes it. */
  readonly modelHash: string;
  readonly batch: PlannedBatch;
  /** First to last; one where the model is not cut. */
  readonly stages: readonly PlacedStage[];
  /** Replayed at load where the model is cut: the stages must still answer as the whole model did. */
  readonly golden: PlacedGolden | undefined;
  /** Changes with everything above: a model whose placement is another is loaded anew. */
  readonly fingerprint: string;
}

export interface PlacedStage {
  readonly id: string;
  /** Absolute path of the stage's file; undefined: the model's own. */
  readonly file: string | undefined;
  /** Absolute path of the weights that the stage's file refers to; undefined: they are inside. */
  readonly weights: string | undefined;
  /** Names; empty where the stage is the whole model. */
  readonly inputs: readonly PlacedTensor[];
  readonly outputs: readonly PlacedTensor[];
  readonly graphOptimizationLevel: "disabled" | "basic" | "extended" | "all";
  readonly copies: readonly PlacedCopy[];
}

export interface PlacedTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** As the stage file has it, batch dimension included; -1: any size. */
  readonly shape: readonly number[];
}

/** An instance on a device. */
export interface PlacedCopy {
  readonly device: Device;
  readonly class: DeviceClass;
  readonly intraOpThreads: number;
}

export interface PlacedGolden {
  /** Absolute path of an .npz: `input:<name>` and the whole model's `output:<name>`. */
  readonly file: string;
  readonly maxAbsDifference: number;
}

/** What a plan says of a cascade. */
export interface CascadePlacement {
  readonly operatingPoint: string;
  /** `POINT@RATE/s,...` by rising rate, as the parameter `gears` takes it; "": none. */
  readonly gears: string;
}

/** The plan in use; it may be another one at every load. */
export interface PlacementSource {
  /** undefined: the plan does not name this version, and its own configuration holds. */
  placementOf(model: string, version: string): ModelPlacement | undefined;
  cascadePlacementOf(model: string): CascadePlacement | undefined;
  /** Called before a client's load of a model: reads a plan that is on disk again; rejects where that does not fit. */
  refresh?(model: string): Promise<void>;
}

/** A repository without a plan. */
export const NO_PLACEMENTS: PlacementSource = {
  placementOf: () => undefined,
  cascadePlacementOf: () => undefined,
};
