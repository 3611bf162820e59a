/** ModelStatistics: the counters of the ready versions as protobuf fields, durations in nanoseconds. */
import type { LoadedModel } from "../../model-repo/repository-types.ts";
import { parseVersion } from "../../model-repo/version-number.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { BatchStatistics, Duration } from "../../scheduler/statistics.ts";
import type { ServedRepository } from "../served-repository.ts";
import type { ModelRequest } from "./server-status.ts";

const NS_PER_MS = 1e6;
const NO_DURATION: Duration = { count: 0, ms: 0 };

interface WireDuration {
  readonly count: number;
  readonly ns: number;
}

/** One `inference.ModelStatistics`, in the field names of the protocol. */
export interface WireModelStatistics {
  readonly name: string;
  readonly version: string;
  readonly last_inference: number;
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<Record<string, WireDuration>>;
  readonly batch_stats: readonly object[];
}

/** Name "": all models; version "": all ready versions. Throws Triton's texts for what is not ready. */
export function modelStatistics(
  repository: Pick<ServedRepository, "loaded" | "readyVersions">,
  request: ModelRequest,
): { model_stats: WireModelStatistics[] } {
  const { name, version } = request;
  const versions = repository.readyVersions(name);
  if (name !== "" && versions.length === 0) {
    throw new InferenceError("INVALID_ARGUMENT", `requested model '${name}' is not available`);
  }
  if (name !== "" && version !== "" && !versions.includes(String(parseVersion(version)))) {
    throw new InferenceError("INVALID_ARGUMENT", `requested model version is not available for model '${name}'`);
  }
  const wanted = [...repository.loaded()].filter(
    (loaded) => name === "" || (loaded.name === name && (version === "" || Number(loaded.version) === Number(version))),
  );
  return { model_stats: wanted.map(toWire) };
}

function toWire({ name, version, model }: LoadedModel): WireModelStatistics {
  const { statistics } = model;
  return {
    name,
    version,
    last_inference: Math.round(statistics.lastInferenceEpochMs),
    inference_count: statistics.inferenceCount,
    execution_count: statistics.executionCount,
    inference_stats: {
      success: duration(statistics.success),
      fail: duration(statistics.fail),
      queue: duration(statistics.queue),
      compute_input: duration(statistics.computeInput),
      compute_infer: duration(statistics.computeInfer),
      compute_output: duration(statistics.computeOutput),
      cache_hit: duration(NO_DURATION),
      cache_miss: duration(NO_DURATION),
    },
    batch_stats: statistics.batches.map(batch),
  };
}

function batch(statistics: BatchStatistics): object {
  return {
    batch_size: statistics.batchSize,
    compute_input: duration(statistics.computeInput),
    compute_infer: duration(statistics.computeInfer),
    compute_output: duration(statistics.computeOutput),
  };
}

function duration({ count, ms }: Duration): WireDuration {
  return { count, ns: Math.round(ms * NS_PER_MS) };
}
