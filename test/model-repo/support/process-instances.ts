/** Instances in child processes for tests. */
import { fileURLToPath } from "node:url";
import { OnnxInstance, type OnnxInstanceOptions } from "../../../model-repo/backends/onnx-instance.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import { SystemClock } from "../../../scheduler/clock.ts";
import { fp32, request } from "../../support/tensors.ts";

/** A main file that misbehaves where the first element of x says so. */
export const FRAGILE = new URL("./fragile-child.ts", import.meta.url);

/** First elements of x with a meaning there; DELAY + ms answers after so long. */
export const ABORT = 666;
export const HANG = 777;
export const EXIT = 888;
export const DELAY = 1_000;

export const SESSION = {
  intraOpThreads: 1,
  interOpThreads: 1,
  executionMode: "sequential",
  graphOptimizationLevel: "all",
  enableMemArena: true,
  enableMemPattern: true,
  extra: { "session.intra_op.allow_spinning": "0" },
} as const;

/** Options of an instance of the fragile main file with x and y of two elements a row; log lines go to `lines`. */
export function fragileOptions(
  lines: string[] = [],
  overrides: Partial<OnnxInstanceOptions> = {},
): OnnxInstanceOptions {
  const write = (_: object, text: string) => lines.push(text);
  return {
    name: "m_0",
    model: "m",
    modelPath: fileURLToPath(FRAGILE),
    settings: SESSION,
    placement: { isolation: "process" },
    batches: true,
    inputs: [{ name: "x", datatype: "FP32", dims: [2], reshape: undefined }],
    outputs: [{ name: "y", datatype: "FP32", dims: [2], reshape: undefined }],
    clock: new SystemClock(),
    log: { info: write, warn: write, error: write },
    mainFile: FRAGILE,
    random: () => 0,
    ...overrides,
  };
}

export function startFragile(
  lines: string[] = [],
  overrides: Partial<OnnxInstanceOptions> = {},
): Promise<OnnxInstance> {
  return OnnxInstance.start(fragileOptions(lines, overrides));
}

/** One row whose first element is `value`. */
export function row(value: number, id = ""): InferenceRequest {
  return request({ id, inputs: [fp32("x", [1, 2], [value, 0])] });
}

/** Looks every few milliseconds until it is so; rejects after the limit. */
export async function until(isSo: () => boolean, limitMs = 10_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`not so after ${limitMs} ms: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Whether a process is there; one that has ended and was not collected is not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
