/** What the tests of data sets share: options, arrays and refusals. */
import assert from "node:assert/strict";
import type { DatasetOptions } from "../../../cli/dataset/dataset.ts";
import type { DataType } from "../../../proto/datatypes.ts";
import { InferenceError } from "../../../proto/errors.ts";
import type { NpyArray } from "../../../proto/files/npy.ts";
import { writeNpz } from "../../../proto/files/npz.ts";

/** A cascade of one image input [1, 2, 3] and three classes. */
export function options(changes: Partial<DatasetOptions> = {}): DatasetOptions {
  return {
    inputs: [{ name: "image", datatype: "FP32", dims: [1, 2, 3] }],
    scores: { name: "logits", datatype: "FP32", dims: [3] },
    classes: 3,
    labelNames: ["cat", "dog", "owl"],
    scale: null,
    labelsFile: null,
    groupBy: null,
    levels: null,
    ...changes,
  };
}

export function array(datatype: DataType, shape: readonly number[], values: ArrayBufferView): NpyArray {
  return { datatype, shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

export function npz(arrays: Readonly<Record<string, NpyArray>>): Uint8Array {
  return writeNpz(new Map(Object.entries(arrays)));
}

/** FP32 bytes as numbers. */
export function floats(data: Uint8Array | undefined): number[] {
  return [...new Float32Array(new Uint8Array(data ?? []).buffer)];
}

/** Checks that an error is a refusal with this text. */
export function refusal(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof InferenceError, String(error));
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.match(error.message, message);
    return true;
  };
}
