/** Small cascades for tests: levels whose scores are given row by row. */
import type {
  CascadeFile,
  CascadeLevel,
  Certificate,
  Expectation,
  Gate,
  OperatingPoint,
} from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { floats, fp32 } from "./tensors.ts";
import type { Answer } from "./timed-instance.ts";

export function level(model: string, overrides: Partial<CascadeLevel> = {}): CascadeLevel {
  return {
    model,
    version: "",
    inputs: {},
    outputs: {},
    labelMap: null,
    confidence: { function: "max_prob", kind: "probabilities", outputs: { scores: "scores" }, params: {} },
    cost: null,
    ...overrides,
  };
}

export function point(name: string, gates: readonly Gate[]): OperatingPoint {
  return { name, gates, expected: null, certificate: null };
}

/** A certificate as calibration writes it, for the policy of this hash. */
export function certificate(policyHash: string): Certificate {
  return {
    metric: "gap",
    epsilon: 0.005,
    risk: 0.05,
    bound: 0.0047,
    method: "wsr-fixed-sequence",
    reference: 2,
    scope: "prefix",
    pathIndex: 17,
    samples: 10_000,
    losses: 61,
    disagreementBound: 0.024,
    tuneHash: "sha256:1",
    certifyHash: "sha256:2",
    certifyUses: 1,
    policyHash,
  };
}

/** What a point of three levels did on held-out rows. */
export function expectation(): Expectation {
  return {
    accuracy: 0.93,
    accuracyInterval: [0.924, 0.936],
    lastLevelAccuracy: 0.934,
    reach: [1, 0.46, 0.25],
    paths: [
      [0.54, 0.42, 0.04],
      [0, 0.5, 0.5],
      [0, 0, 1],
    ],
    harm: 0.006,
    gap: 0.004,
    disagreement: 0.02,
    confidences: null,
    cost: { value: 0.07, unit: "cpuSeconds", source: "measured" },
  };
}

export function gate(accept: number, skip: readonly number[] = [], hopeless: Gate["hopeless"] = null): Gate {
  return { accept, skip, hopeless };
}

export function cascadeFile(levels: readonly CascadeLevel[], points: readonly OperatingPoint[]): CascadeFile {
  return {
    formatVersion: 1,
    levels,
    operatingPoints: points,
    thresholdPerformanceGraph: [],
    default: points[0]?.name ?? "",
    calibration: null,
  };
}

/**
 * An answer whose confidence is in the request: column k of input "x" is level k's confidence in class k of its
 * "scores" (the rest goes to the other class).
 */
export function confidentAs(k: number): Answer {
  return (request) => {
    const input = request.inputs[0] as Tensor; // every test request has one
    const values = floats(input);
    const width = input.shape[1] ?? 1;
    const rows = input.shape[0] ?? 0;
    const scores: number[] = [];
    for (let row = 0; row < rows; row++) {
      const q = values[row * width + k] ?? Number.NaN;
      scores.push(...(k % 2 === 0 ? [q, 1 - q] : [1 - q, q]));
    }
    return [fp32("scores", [rows, 2], scores)];
  };
}
