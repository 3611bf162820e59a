/**
 * From what arrived to a request with data: duplicates, shared-memory parameters, raw data assigned to its inputs,
 * typed contents converted. Runs after the model lookup; Triton's texts, in Triton's order.
 */
import { isDataType } from "../datatypes.ts";
import { InferenceError } from "../errors.ts";
import { type InferenceRequest, type Parameters, type RequestedOutput, requestIdPrefix } from "../inference.ts";
import type { Tensor } from "../tensor.ts";
import { contentsDatatype, contentsToRaw, countContents } from "./typed-contents.ts";
import type { WireInferRequest, WireTensor } from "./wire-request.ts";

const NO_DATA = new Uint8Array(0);

/** How Triton prints a datatype that it does not know. */
const INVALID_DATATYPE = "<invalid>";

/**
 * The request in domain terms; its raw tensors are views on the received message. `expectedDatatype` tells the datatype
 * of one of the model's inputs, undefined for a name the model does not have: it is asked only to word the error about
 * an input whose datatype is none. Throws InferenceError INVALID_ARGUMENT, or UNIMPLEMENTED for what is not served.
 */
export function toInferenceRequest(
  wire: WireInferRequest,
  expectedDatatype: (inputName: string) => string | undefined,
): InferenceRequest {
  checkDuplicates(wire.inputs, "input", wire.id);
  checkDuplicates(wire.requestedOutputs, "output", wire.id);
  const inputs: Tensor[] = [];
  let untyped: WireTensor | undefined;
  let nextRaw = 0;
  for (const input of wire.inputs) {
    const { name, datatype, shape } = input;
    if (input.parameters.size > 0 && usesSharedMemory(input)) {
      if (input.contents.length === 0) throw sharedMemoryDisabled();
      throw invalid(
        `unexpected 'content' provided when using shared memory for input tensor '${name}' for model '${wire.modelName}'`,
      );
    }
    const data = input.contents.length > 0 ? typedData(wire, input) : wire.rawInputContents[nextRaw++];
    if (data === undefined) {
      throw invalid(`unable to find data for input tensor '${name}' for model '${wire.modelName}' in request.`);
    }
    if (isDataType(datatype)) inputs.push({ name, datatype, shape, data });
    else untyped = input;
  }
  for (const output of wire.requestedOutputs) if (output.parameters.size > 0) checkOutputParameters(output);
  if (untyped !== undefined) throw invalidDatatype(wire, untyped.name, expectedDatatype(untyped.name));
  return {
    modelName: wire.modelName,
    modelVersion: wire.modelVersion,
    id: wire.id,
    parameters: wire.parameters,
    inputs,
    requestedOutputs: wire.requestedOutputs,
  };
}

function checkDuplicates(named: readonly { readonly name: string }[], kind: "input" | "output", id: string): void {
  if (named.length < 2) return;
  const names = new Set<string>();
  for (const { name } of named) {
    if (names.has(name)) throw invalid(`${requestIdPrefix(id)}${kind} '${name}' already exists in request`);
    names.add(name);
  }
}

/** The contents of an input as raw bytes; several filled fields or the wrong one are errors. */
function typedData(wire: WireInferRequest, input: WireTensor): Uint8Array {
  const { modelName } = wire;
  if (wire.rawInputContents.length > 0) {
    throw invalid(
      `contents field must not be specified when using raw_input_contents for '${input.name}' for model '${modelName}'`,
    );
  }
  const contents = countContents(input.contents, { subject: `contents of input '${input.name}'` });
  const where = `unexpected explicit tensor data for input tensor '${input.name}' for model '${modelName}'`;
  let data: Uint8Array | undefined;
  for (let field = 1; field < contents.counts.length; field++) {
    if (contents.counts[field] === 0) continue;
    if (data !== undefined) throw invalid(`${where}, binary data was already supplied.`);
    const declared = isDataType(input.datatype) ? input.datatype : INVALID_DATATYPE;
    const carried = contentsDatatype(field, declared);
    if (carried !== declared) throw invalid(`${where} of type '${carried}', expected datatype '${declared}'`);
    data = contentsToRaw(contents, field, carried);
  }
  return data ?? NO_DATA;
}

/** Whether the tensor names a shared-memory region; throws Triton's texts for parameters that do not fit together. */
function usesSharedMemory(tensor: { readonly name: string; readonly parameters: Parameters }): boolean {
  const { name, parameters } = tensor;
  const region = parameters.get("shared_memory_region");
  if (region !== undefined && region.kind !== "string") {
    throw invalid(
      `invalid value type for 'shared_memory_region' parameter for tensor '${name}', expected string_param.`,
    );
  }
  for (const key of ["shared_memory_offset", "shared_memory_byte_size"]) {
    const parameter = parameters.get(key);
    if (parameter === undefined) continue;
    if (region === undefined) {
      throw invalid(`'${key}' can not be specified without 'shared_memory_region' parameter for tensor '${name}'`);
    }
    if (parameter.kind !== "int64") {
      throw invalid(`invalid value type for '${key}' parameter for tensor '${name}', expected int64_param.`);
    }
  }
  if (region !== undefined && !parameters.has("shared_memory_byte_size")) {
    throw invalid(
      `'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor '${name}'`,
    );
  }
  return region !== undefined;
}

function checkOutputParameters(output: RequestedOutput): void {
  const shared = usesSharedMemory(output);
  const classification = output.parameters.get("classification");
  if (classification !== undefined) {
    if (classification.kind !== "int64") {
      throw invalid("invalid value type for 'classification' parameter, expected int64_param");
    }
    if (classification.value <= 0n) throw invalid("invalid value for 'classification' parameter, expected >= 0");
    if (shared) throw invalid("output can't set both 'shared_memory_region' and 'classification'");
    throw new InferenceError(
      "UNIMPLEMENTED",
      `the classification extension is not served: ask for output '${output.name}' without 'classification'`,
    );
  }
  if (shared) throw sharedMemoryDisabled();
}

function sharedMemoryDisabled(): InferenceError {
  return new InferenceError(
    "UNIMPLEMENTED",
    "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
  );
}

/** Triton's texts for an input whose datatype is none. */
function invalidDatatype(wire: WireInferRequest, inputName: string, expected: string | undefined): InferenceError {
  const { id, modelName } = wire;
  if (expected === undefined) return invalid(`unexpected inference input '${inputName}' for model '${modelName}'`);
  return invalid(
    `${requestIdPrefix(id)}inference input '${inputName}' data-type is '${INVALID_DATATYPE}', ` +
      `but model '${modelName}' expects '${expected}'`,
  );
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
