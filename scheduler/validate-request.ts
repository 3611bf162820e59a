/**
 * Whether a request fits a model: Triton's checks in Triton's order with Triton's texts
 * (`InferenceRequest::Normalize`, core/src/infer_request.cc).
 */
import { ELEMENT_BYTES } from "../proto/datatypes.ts";
import { InferenceError } from "../proto/errors.ts";
import { type InferenceRequest, requestIdPrefix } from "../proto/inference.ts";
import { elementCount, type Tensor } from "../proto/tensor.ts";
import { type ModelSignature, type TensorSpec, wireShape } from "./signature.ts";

const BATCH_NOTE =
  "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each " +
  "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting " +
  "max_batch_size to zero. See the model configuration docs for more info on max_batch_size.";

/**
 * Checks a request and returns its batch size (1 for a model that does not batch).
 * Inputs are visited last to first: so does Triton's hash map with up to three inputs, which decides the input that
 * an error names.
 */
export function validateRequest(signature: ModelSignature, request: InferenceRequest): number {
  for (const output of request.requestedOutputs) {
    if (!signature.outputs.some((spec) => spec.name === output.name)) {
      throw invalid(`unexpected inference output '${output.name}' for model '${signature.name}'`);
    }
  }
  checkInputCount(signature, request);
  const rows = batchSize(signature, request);
  for (let i = request.inputs.length - 1; i >= 0; i--) {
    const input = request.inputs[i] as Tensor; // i is in range
    checkInput(signature, specOf(signature, input), input, request);
  }
  return rows;
}

function checkInputCount(signature: ModelSignature, request: InferenceRequest): void {
  const most = signature.inputs.length;
  const got = request.inputs.length;
  if (got === most) return;
  const required = signature.inputs.filter((spec) => spec.optional !== true);
  if (got >= required.length && got < most) return;
  const expected =
    required.length === most ? `${most} inputs` : `number of inputs between ${required.length} and ${most}`;
  const given = request.inputs.map((input) => input.name).reverse();
  const missing = required.map((spec) => spec.name).filter((name) => !given.includes(name));
  throw invalid(
    `${requestIdPrefix(request.id)}expected ${expected} but got ${got} inputs for model '${signature.name}'. ` +
      `Got input(s) ${nameList(given)}, but missing required input(s) ${missing.length === 0 ? "]" : nameList(missing)}. ` +
      "Please provide all required input(s).",
  );
}

/** The first dimension that all inputs share; 1 where the model does not batch. */
function batchSize(signature: ModelSignature, request: InferenceRequest): number {
  const batching = signature.maxBatchSize > 0;
  let rows: number | undefined;
  for (let i = request.inputs.length - 1; i >= 0; i--) {
    const input = request.inputs[i] as Tensor; // i is in range
    specOf(signature, input);
    if (!batching) continue;
    const inputRows = input.shape[0];
    if (inputRows === undefined) {
      throw invalid(
        `${requestIdPrefix(request.id)}input '${input.name}' has no shape but model requires batch dimension for ` +
          `'${signature.name}'`,
      );
    }
    rows ??= inputRows;
    if (rows !== inputRows) {
      throw invalid(
        `${requestIdPrefix(request.id)}input '${input.name}' batch size does not match other inputs for ` +
          `'${signature.name}'`,
      );
    }
  }
  rows ??= 1;
  if (batching && rows > signature.maxBatchSize) {
    throw invalid(
      `${requestIdPrefix(request.id)}inference request batch-size must be <= ${signature.maxBatchSize} for ` +
        `'${signature.name}'`,
    );
  }
  return rows;
}

function specOf(signature: ModelSignature, input: Tensor): TensorSpec {
  const spec = signature.inputs.find((candidate) => candidate.name === input.name);
  if (spec === undefined) {
    throw invalid(`unexpected inference input '${input.name}' for model '${signature.name}'`);
  }
  return spec;
}

function checkInput(signature: ModelSignature, spec: TensorSpec, input: Tensor, request: InferenceRequest): void {
  const { name } = signature;
  const { id } = request;
  if (input.datatype !== spec.datatype) {
    throw invalid(
      `${requestIdPrefix(id)}inference input '${input.name}' data-type is '${input.datatype}', but model '${name}' expects ` +
        `'${spec.datatype}'`,
    );
  }
  if (input.shape.some((dim) => dim < 0)) {
    throw invalid(
      `${requestIdPrefix(id)}All input dimensions should be specified for input '${input.name}' for model '${name}', got ` +
        shapeText(input.shape),
    );
  }
  if (!fits(input.shape, spec.dims, signature.maxBatchSize > 0 ? 1 : 0)) {
    const expected = shapeText(wireShape(signature, spec));
    throw invalid(
      `${requestIdPrefix(id)}unexpected shape for input '${input.name}' for model '${name}'. Expected ${expected}, got ` +
        `${shapeText(input.shape)}. ${signature.maxBatchSize > 0 ? BATCH_NOTE : ""}`,
    );
  }
  const elements = elementCount(input.shape);
  const elementBytes = ELEMENT_BYTES[input.datatype];
  if (elements * Math.max(1, elementBytes) > Number.MAX_SAFE_INTEGER) {
    throw invalid(`byte size for tensor '${input.name}' exceeds maximum size of 9223372036854775807`);
  }
  if (elementBytes === 0) {
    checkBytesElements(input, elements, name, requestIdPrefix(id));
  } else if (input.data.byteLength !== elements * elementBytes) {
    throw invalid(
      `${requestIdPrefix(id)}input byte size mismatch for input '${input.name}' for model '${name}'. Expected ` +
        `${elements * elementBytes}, got ${input.data.byteLength}`,
    );
  }
}

/** Walks the length prefixes of a BYTES tensor: linear in the elements, no object per element. */
function checkBytesElements(input: Tensor, elements: number, model: string, prefix: string): void {
  const { data } = input;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  let count = 0;
  while (offset < data.byteLength) {
    if (count === elements) {
      throw invalid(
        `${prefix}unexpected number of string elements ${count + 1} for inference input '${input.name}' for model ` +
          `'${model}', expecting ${elements}`,
      );
    }
    const left = data.byteLength - offset;
    if (left < 4) {
      throw invalid(
        `${prefix}incomplete string length indicator for inference input '${input.name}' for model '${model}', ` +
          `expecting 4 bytes but only ${left} bytes available. Please make sure the string length indicator is in one ` +
          "buffer.",
      );
    }
    const length = view.getUint32(offset, true);
    offset += 4 + length;
    if (offset > data.byteLength) {
      throw invalid(
        `incomplete string data for inference input '${input.name}', expecting string of length ${length} but only ` +
          `${left - 4} bytes available`,
      );
    }
    count++;
  }
  if (count !== elements) {
    throw invalid(
      `${prefix}expected ${elements} string elements for inference input '${input.name}' for model '${model}', got ` +
        `${count}`,
    );
  }
}

/** Whether a shape, after its leading batch dimensions, fits dims in which -1 is any size. */
function fits(shape: readonly number[], dims: readonly number[], batchDimensions: number): boolean {
  if (shape.length !== dims.length + batchDimensions) return false;
  for (let i = 0; i < dims.length; i++) {
    if (dims[i] !== -1 && dims[i] !== shape[i + batchDimensions]) return false;
  }
  return true;
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}

function nameList(names: readonly string[]): string {
  return `[${names.map((name) => `'${name}'`).join(",")}]`;
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
