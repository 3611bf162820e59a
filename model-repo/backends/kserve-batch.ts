/** A batch as one request to a remote, and its answer as the answers of the batch's requests. Pure. */
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type InferenceRequest, NO_PARAMETERS, type Parameter, type Parameters } from "../../proto/inference.ts";
import { concatTensors, elementCount, splitTensor, type Tensor } from "../../proto/tensor.ts";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";

/** The wire's limit for a request id here and in Triton's clients. */
const MAX_ID_BYTES = 1_024;

/**
 * One request for all: inputs joined along the first dimension, the outputs that somebody asked for, ids joined with
 * commas. Parameters go along where all requests agree; of `priority` the most urgent counts, of `timeout` the longest.
 */
export function mergeRequests(
  requests: readonly InferenceRequest[],
  signature: ModelSignature,
  remote: { readonly model: string; readonly version: string },
): InferenceRequest {
  const [first] = requests;
  if (first === undefined) throw new InferenceError("INTERNAL", "a batch without requests");
  const isAlone = requests.length === 1;
  return {
    modelName: remote.model,
    modelVersion: remote.version,
    id: isAlone ? first.id : joinedIds(requests),
    parameters: isAlone ? first.parameters : mergedParameters(requests),
    inputs: isAlone ? first.inputs : first.inputs.map((input) => joined(requests, input.name)),
    requestedOutputs: requestedNames(requests, signature).map((name) => ({ name, parameters: NO_PARAMETERS })),
  };
}

/** Batch size of each request; empty for a model without batching. */
export function rowsOf(requests: readonly InferenceRequest[], signature: ModelSignature): number[] {
  if (signature.maxBatchSize === 0) return [];
  return requests.map((request) => request.inputs[0]?.shape[0] ?? 1);
}

/** Outputs that at least one request wants, in the model's order; who names none wants all. */
export function requestedNames(requests: readonly InferenceRequest[], signature: ModelSignature): string[] {
  const names = signature.outputs.map((output) => output.name);
  if (requests.some((request) => request.requestedOutputs.length === 0)) return names;
  return names.filter((name) =>
    requests.some((request) => request.requestedOutputs.some((output) => output.name === name)),
  );
}

/**
 * Hands each request its rows as views on the answer. Throws INTERNAL where the remote left out an output or gave
 * another datatype, shape or size than the configuration says.
 */
export function scatterResponse(
  outputs: readonly Tensor[],
  names: readonly string[],
  rows: readonly number[],
  signature: ModelSignature,
): Tensor[][] {
  const perRequest: Tensor[][] = Array.from({ length: Math.max(1, rows.length) }, () => []);
  for (const spec of signature.outputs) {
    if (!names.includes(spec.name)) continue;
    const output = outputs.find((tensor) => tensor.name === spec.name);
    if (output === undefined) throw wrong(`gave no output '${spec.name}'`);
    checkOutput(output, spec, rows);
    const parts = rows.length > 1 ? splitTensor(output, rows) : [output];
    parts.forEach((part, i) => {
      perRequest[i]?.push(part);
    });
  }
  return perRequest;
}

function checkOutput(output: Tensor, spec: TensorSpec, rows: readonly number[]): void {
  const { name, datatype, shape, data } = output;
  if (datatype !== spec.datatype) throw wrong(`gave output '${name}' as ${datatype}, expected ${spec.datatype}`);
  const batch = rows.length === 0 ? [] : [rows.reduce((sum, count) => sum + count, 0)];
  const expected = [...batch, ...spec.dims];
  const fits = shape.length === expected.length && expected.every((dim, i) => dim === -1 || dim === shape[i]);
  if (!fits || shape.some((dim) => dim < 0)) {
    throw wrong(`gave output '${name}' with shape [${shape}], expected [${expected}]`);
  }
  const elements = elementCount(shape);
  const elementBytes = ELEMENT_BYTES[datatype];
  const isWhole = elementBytes > 0 ? data.byteLength === elements * elementBytes : holdsElements(data, elements);
  if (!isWhole) throw wrong(`gave output '${name}' of shape [${shape}] with ${data.byteLength} bytes`);
}

/** Whether bytes are exactly so many length-prefixed elements. */
function holdsElements(data: Uint8Array, elements: number): boolean {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  let count = 0;
  for (; offset + 4 <= data.byteLength && count < elements; count++) offset += 4 + view.getUint32(offset, true);
  return count === elements && offset === data.byteLength;
}

function joined(requests: readonly InferenceRequest[], name: string): Tensor {
  return concatTensors(
    requests.flatMap((request) => {
      const tensor = request.inputs.find((input) => input.name === name);
      return tensor === undefined ? [] : [tensor];
    }),
  );
}

/** As many whole ids as fit. */
function joinedIds(requests: readonly InferenceRequest[]): string {
  let text = "";
  for (const id of new Set(requests.map((request) => request.id))) {
    if (id === "") continue;
    const longer = text === "" ? id : `${text},${id}`;
    if (Buffer.byteLength(longer) > MAX_ID_BYTES) break;
    text = longer;
  }
  return text;
}

function mergedParameters(requests: readonly InferenceRequest[]): Parameters {
  const [first, ...others] = requests.map((request) => request.parameters);
  const merged = new Map<string, Parameter>();
  for (const [key, parameter] of first ?? NO_PARAMETERS) {
    if (others.every((parameters) => isSame(parameters.get(key), parameter))) merged.set(key, parameter);
  }
  const priorities = integersOf(requests, "priority");
  // Triton: 1 is the most urgent, 0 and none are the model's default, which may be anything: named ones go first.
  setExtreme(merged, "priority", priorities, (a, b) => a < b);
  const timeouts = integersOf(requests, "timeout"); // 0 is none: who may wait for ever is not cut short by others
  if (timeouts.length === requests.length) setExtreme(merged, "timeout", timeouts, (a, b) => a > b);
  else if (timeouts.length > 0) merged.delete("timeout");
  return merged;
}

type IntegerParameter = Extract<Parameter, { readonly value: bigint }>;

function integersOf(requests: readonly InferenceRequest[], key: string): IntegerParameter[] {
  return requests.flatMap(({ parameters }) => {
    const parameter = parameters.get(key);
    const isInteger = parameter?.kind === "int64" || parameter?.kind === "uint64";
    return isInteger && parameter.value > 0n ? [parameter] : [];
  });
}

function setExtreme(
  merged: Map<string, Parameter>,
  key: string,
  parameters: readonly IntegerParameter[],
  isBetter: (a: bigint, b: bigint) => boolean,
): void {
  let best: IntegerParameter | undefined;
  for (const parameter of parameters) {
    if (best === undefined || isBetter(parameter.value, best.value)) best = parameter;
  }
  if (best !== undefined) merged.set(key, best);
}

function isSame(a: Parameter | undefined, b: Parameter): boolean {
  return a !== undefined && a.kind === b.kind && a.value === b.value;
}

function wrong(what: string): InferenceError {
  return new InferenceError("INTERNAL", `the remote ${what}`);
}
