/** How sure a level is of each row, computed from its output tensors in place. */
import type { DataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { ConfidenceFunction } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { CLASS_FUNCTIONS, classConfidences } from "./class-functions.ts";
import { Params } from "./params.ts";
import { modelOutput, sequenceConfidence, spanConfidence, TOKEN_SUMMARIES } from "./sequence-functions.ts";

/**
 * One confidence in 0..1 for each of `rows` rows, from the tensors of the function's roles; NaN (the row escalates)
 * where scores are not finite numbers. Throws INVALID_ARGUMENT for tensors of a wrong type or shape.
 */
export type Confidence = (outputs: (role: string) => Tensor, rows: number) => Float64Array;

/** The functions that `confidenceOf` knows. */
export const CONFIDENCE_FUNCTIONS: readonly string[] = [
  ...Object.keys(CLASS_FUNCTIONS),
  ...Object.keys(TOKEN_SUMMARIES),
  "qa_span",
  "model_output",
];

/** Roles that a configuration may leave out. */
export const OPTIONAL_ROLES: readonly string[] = ["mask"];

/** The roles of a function's tensors, those of OPTIONAL_ROLES included. Throws INVALID_ARGUMENT for an unknown one. */
export function rolesOf(functionName: string): readonly string[] {
  if (!CONFIDENCE_FUNCTIONS.includes(functionName)) throw unknownFunction(functionName);
  if (functionName === "qa_span") return ["start", "end"];
  return functionName in TOKEN_SUMMARIES ? ["scores", "mask"] : ["scores"];
}

/**
 * What keeps a tensor of this type and these dimensions a row (-1: any) from the role; undefined where it fits.
 * Complaints go on after the tensor's name.
 */
export function roleComplaint(
  functionName: string,
  role: string,
  datatype: DataType,
  rowDims: readonly number[],
): string | undefined {
  if (!(role === "mask" ? MASK_TYPES : SCORE_TYPES).includes(datatype)) {
    return role === "mask"
      ? `has datatype ${datatype}; a mask holds BOOL, integers or FP16, FP32, FP64`
      : `has datatype ${datatype}; confidence is computed from FP16, FP32 or FP64`;
  }
  if (functionName === "model_output") {
    const single = rowDims.every((dim) => dim === 1 || dim === -1);
    return single ? undefined : `has shape [${rowDims}] a row; 'model_output' takes one number a row`;
  }
  if (functionName in TOKEN_SUMMARIES && role === "scores" && rowDims.length < 2) {
    return `has shape [${rowDims}] a row; '${functionName}' takes [tokens, classes]`;
  }
  return undefined;
}

const SCORE_TYPES: readonly DataType[] = ["FP16", "FP32", "FP64"];
const MASK_TYPES: readonly DataType[] = [
  ...SCORE_TYPES,
  "BOOL",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
];

/** Whether the last dimension of the function's `scores` are the classes that a label map speaks of. */
export function readsClasses(functionName: string): boolean {
  return functionName !== "qa_span" && functionName !== "model_output";
}

/** Prepares a configured function; throws INVALID_ARGUMENT for one that is unknown or has wrong parameters. */
export function confidenceOf(configured: ConfidenceFunction): Confidence {
  const params = new Params(configured);
  const confidence = prepared(configured, params);
  params.refuseOthers();
  return confidence;
}

function prepared(configured: ConfidenceFunction, params: Params): Confidence {
  const { function: name, kind } = configured;
  if (!CONFIDENCE_FUNCTIONS.includes(name)) throw unknownFunction(name);
  const classFunction = CLASS_FUNCTIONS[name]?.(params);
  if (classFunction !== undefined) {
    return (outputs, rows) => classConfidences(classFunction, kind, outputs("scores"), rows);
  }
  const sequence = sequenceConfidence(name, kind, params);
  if (sequence !== undefined) {
    const masked = configured.outputs["mask"] !== undefined;
    return (outputs, rows) => sequence(outputs("scores"), masked ? outputs("mask") : undefined, rows);
  }
  if (name === "model_output") return (outputs, rows) => modelOutput(kind, outputs("scores"), rows);
  const span = spanConfidence(kind, params);
  return (outputs, rows) => span(outputs("start"), outputs("end"), rows);
}

function unknownFunction(name: string): InferenceError {
  return new InferenceError(
    "INVALID_ARGUMENT",
    `confidence function '${name}' is unknown; known: ${CONFIDENCE_FUNCTIONS.join(", ")}`,
  );
}
