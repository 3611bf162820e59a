/** A cascade of three levels "xs", "m" and "l" in virtual time, 10 ms a batch, no batching delay. */
import type { Calibration, CascadeLevel, OperatingPoint } from "../../../proto/files/cascade-file.ts";
import type { InferenceRequest, Parameter } from "../../../proto/inference.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { CascadeModel, type CascadeOptions } from "../../../scheduler/cascade/cascade-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { ModelSignature } from "../../../scheduler/signature.ts";
import { cascadeFile, confidentAs, gate, level, point } from "../../support/cascades.ts";
import { fp32, request, signature, spec } from "../../support/tensors.ts";
import { type Answer, TimedInstance } from "../../support/timed-instance.ts";

export const INPUTS = [spec("x", [3])];
export const SCORES = [spec("scores", [2])];
const OWN_OUTPUTS = [spec("CASCADE_LEVEL", [1], "INT32"), spec("CASCADE_CONFIDENCE", [1])];
const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

export interface SetUp {
  readonly points?: readonly OperatingPoint[];
  readonly selectable?: readonly string[];
  readonly levels?: readonly CascadeLevel[];
  readonly calibration?: Calibration;
  readonly answers?: readonly Answer[];
  readonly levelSignature?: Partial<ModelSignature>;
  readonly signature?: Partial<ModelSignature>;
  readonly serving?: Partial<CascadeOptions>;
}

export function setUp(options: SetUp = {}) {
  const clock = new VirtualClock();
  const names = ["xs", "m", "l"];
  const instances = names.map((_, k) => new TimedInstance(clock, 10, options.answers?.[k] ?? confidentAs(k)));
  const models = names.map((name, k) => {
    const maxBatchSize = options.levelSignature?.maxBatchSize ?? 8;
    return new BatchedModel({
      signature: signature({ name, inputs: INPUTS, outputs: SCORES, maxBatchSize, ...options.levelSignature }),
      instances: [instances[k] as TimedInstance],
      batching:
        maxBatchSize > 0
          ? { maxBatchSize, preferredBatchSizes: [maxBatchSize], maxQueueDelayMs: 0, preserveOrdering: false }
          : null,
      queuePolicy: QUEUE,
      clock,
    });
  });
  const points = options.points ?? [point("AP", [gate(0.9), gate(0.8)])];
  const plain = cascadeFile(options.levels ?? names.map((name) => level(name)), points);
  const file = { ...plain, calibration: options.calibration ?? null };
  const cascade = new CascadeModel({
    signature: signature({
      name: "c",
      maxBatchSize: 16,
      inputs: INPUTS,
      outputs: [...SCORES, ...OWN_OUTPUTS],
      ...options.signature,
    }),
    file,
    models,
    operatingPoint: file.default,
    selectablePoints: new Set(options.selectable ?? [file.default]),
    clock,
    ...options.serving,
  });
  const [xs, m, l] = instances as [TimedInstance, TimedInstance, TimedInstance];
  return { clock, cascade, models, xs, m, l };
}

/** A request whose row i has the confidences rows[i] at the levels. */
export function ask(
  id: string,
  rows: readonly (readonly number[])[],
  overrides: Partial<InferenceRequest> = {},
): InferenceRequest {
  return request({ id, modelName: "c", inputs: [fp32("x", [rows.length, 3], rows.flat())], ...overrides });
}

export function parameters(entries: Record<string, Parameter>): Map<string, Parameter> {
  return new Map(Object.entries(entries));
}

/** Rows that levels 0, 1 and 2 answer at the gates 0.9 and 0.8. */
export const EASY = [0.95, 0.5, 0.5];
export const MEDIUM = [0.6, 0.85, 0.5];
export const HARD = [0.6, 0.7, 0.55];
