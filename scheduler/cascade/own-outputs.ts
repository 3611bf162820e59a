/** CASCADE_LEVEL and CASCADE_CONFIDENCE: outputs that the cascade fills in itself. */
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { ModelSignature } from "../signature.ts";
import { CONFIDENCE_OUTPUT, LEVEL_OUTPUT } from "./level.ts";

/** Throws INVALID_ARGUMENT where they are listed with other types than the cascade fills in, or nothing batches. */
export function checkOwnOutputs(signature: ModelSignature): void {
  if (signature.maxBatchSize < 1) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `cascade '${signature.name}' needs a max_batch_size of at least 1: it decides row by row`,
    );
  }
  for (const [name, datatype] of [
    [LEVEL_OUTPUT, "INT32"],
    [CONFIDENCE_OUTPUT, "FP32"],
  ]) {
    const spec = signature.outputs.find((output) => output.name === name);
    if (spec === undefined || (spec.datatype === datatype && spec.dims.length === 1 && spec.dims[0] === 1)) continue;
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `cascade '${signature.name}': output '${name}' must have data_type TYPE_${datatype} and dims [ 1 ]`,
    );
  }
}

/** Level and confidence of each row. */
export interface RowFigures {
  readonly levels: Int32Array;
  readonly confidences: Float32Array;
}

/** The outputs the request asked for, in the signature's order, with the cascade's own. */
export function selectOutputs(
  signature: ModelSignature,
  request: InferenceRequest,
  outputs: readonly Tensor[],
  rows: RowFigures,
): readonly Tensor[] {
  const selected: Tensor[] = [];
  for (const { name } of signature.outputs) {
    if (request.requestedOutputs.length > 0 && !request.requestedOutputs.some((asked) => asked.name === name)) continue;
    if (name === LEVEL_OUTPUT) selected.push(column(name, "INT32", rows.levels));
    else if (name === CONFIDENCE_OUTPUT) selected.push(column(name, "FP32", rows.confidences));
    else selected.push(...outputs.filter((output) => output.name === name));
  }
  return selected;
}

/** One value a row, as a [rows, 1] tensor. */
function column(name: string, datatype: "INT32" | "FP32", values: Int32Array | Float32Array): Tensor {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, datatype, shape: [values.length, 1], data };
}
