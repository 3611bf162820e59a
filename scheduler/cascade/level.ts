/** One level of a cascade: its model, and the way from the cascade's tensors to the model's and back. */
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";
import type { InferenceRequest, Parameters } from "../../proto/inference.ts";
import { gatherRows, type Tensor } from "../../proto/tensor.ts";
import {
  type Confidence,
  confidenceOf,
  OPTIONAL_ROLES,
  readsClasses,
  roleComplaint,
  rolesOf,
} from "../confidence/confidence.ts";
import type { Model } from "../model.ts";
import type { ModelSignature, TensorSpec } from "../signature.ts";

/** Names of the outputs that the cascade itself fills. */
export const LEVEL_OUTPUT = "CASCADE_LEVEL";
export const CONFIDENCE_OUTPUT = "CASCADE_CONFIDENCE";

interface Wire {
  readonly cascade: string;
  readonly level: string;
}

export class Level {
  readonly model: Model;
  /** Most rows in one request to the model. */
  readonly maxRows: number;
  readonly #inputs: readonly Wire[];
  readonly #outputs: readonly Wire[];
  readonly #requested: InferenceRequest["requestedOutputs"];
  readonly #labelMap: readonly number[] | null;
  /** Role of the confidence function -> the model's output. */
  readonly #roles: ReadonlyMap<string, string>;
  readonly #confidence: Confidence | undefined;

  /**
   * Wires a level; throws INVALID_ARGUMENT where names, types or shapes do not fit the cascade's. `where` begins the
   * text, as in `cascade 'fashion', level 1 ('fashion-m')`.
   */
  constructor(configured: CascadeLevel, model: Model, cascade: ModelSignature, where: string) {
    this.model = model;
    this.maxRows = Math.max(1, model.signature.maxBatchSize);
    this.#inputs = model.signature.inputs.map((spec) => wireInput(configured, model.signature, spec, cascade, where));
    this.#outputs = cascade.outputs
      .filter((output) => output.name !== LEVEL_OUTPUT && output.name !== CONFIDENCE_OUTPUT)
      .map((output) => wireOutput(configured, model.signature, output, where));
    for (const name of Object.keys(configured.outputs)) {
      if (!cascade.outputs.some((output) => output.name === name)) {
        throw misfit(where, `maps the output '${name}', which the cascade does not list`);
      }
    }
    this.#confidence = prepareConfidence(configured, where);
    this.#roles = wireRoles(configured, model.signature, where);
    if (configured.labelMap !== null) checkLabelMap(configured, configured.labelMap, model.signature, where);
    this.#labelMap = isIdentity(configured.labelMap) ? null : configured.labelMap;
    if (this.#labelMap !== null) checkOtherOutputs(this.#outputs, this.#roles, this.#labelMap, model.signature, where);
    const names = new Set([...this.#outputs.map((wire) => wire.level), ...this.#roles.values()]);
    this.#requested = [...names].map((name) => ({ name, parameters: NO_OUTPUT_PARAMETERS }));
  }

  /** The request for some rows of a cascade's request, with its id and parameters but those for the cascade itself. */
  request(request: InferenceRequest, rows: readonly number[]): InferenceRequest {
    const inputs: Tensor[] = [];
    for (const wire of this.#inputs) {
      const input = request.inputs.find((candidate) => candidate.name === wire.cascade);
      if (input !== undefined) inputs.push({ ...gatherRows(input, rows), name: wire.level });
    }
    const asked = {
      modelName: this.model.signature.name,
      modelVersion: this.model.signature.version,
      id: request.id,
      parameters: forLevel(request.parameters),
      inputs,
      requestedOutputs: this.#requested,
    };
    return request.isProbe === true ? { ...asked, isProbe: true } : asked;
  }

  /** Confidence of each row of a response; undefined at a last level that has no function. */
  confidences(outputs: readonly Tensor[], rows: number): Float64Array | undefined {
    if (this.#confidence === undefined) return undefined;
    return this.#confidence((role) => outputOf(outputs, this.#roles.get(role) ?? role), rows);
  }

  /** The model's outputs under the cascade's names, classes in the cascade's order. */
  answers(outputs: readonly Tensor[]): Tensor[] {
    return this.#outputs.map((wire) => {
      const output = outputOf(outputs, wire.level);
      const named = { ...output, name: wire.cascade };
      const mapped = this.#labelMap !== null && wire.level === this.#roles.get("scores");
      return mapped ? permuteClasses(named, this.#labelMap) : named;
    });
  }
}

const NO_OUTPUT_PARAMETERS: Parameters = new Map();

/** What a request says to a cascade. A level may be a cascade too, with points and levels of its own. */
const CASCADE_PARAMETERS: readonly string[] = ["cascade_operating_point", "cascade_min_level", "cascade_max_level"];

/** Without those of the cascade; the same map where it has none. */
function forLevel(parameters: Parameters): Parameters {
  if (!CASCADE_PARAMETERS.some((name) => parameters.has(name))) return parameters;
  return new Map([...parameters].filter(([name]) => !CASCADE_PARAMETERS.includes(name)));
}

function wireInput(
  configured: CascadeLevel,
  level: ModelSignature,
  spec: TensorSpec,
  cascade: ModelSignature,
  where: string,
): Wire {
  const name = configured.inputs[spec.name] ?? spec.name;
  const input = cascade.inputs.find((candidate) => candidate.name === name);
  if (input === undefined) {
    throw misfit(where, `takes the input '${spec.name}' from '${name}', which the cascade does not list`);
  }
  checkFit(where, `input '${spec.name}'`, spec, level, input);
  return { cascade: name, level: spec.name };
}

function wireOutput(configured: CascadeLevel, level: ModelSignature, output: TensorSpec, where: string): Wire {
  const name = configured.outputs[output.name] ?? output.name;
  const spec = level.outputs.find((candidate) => candidate.name === name);
  if (spec === undefined) throw misfit(where, `has no output '${name}' for the cascade's output '${output.name}'`);
  checkFit(where, `output '${name}'`, spec, level, output);
  return { cascade: output.name, level: name };
}

/** A level that does not batch is asked row by row: its own first dimension must then be 1. */
function checkFit(where: string, tensor: string, spec: TensorSpec, level: ModelSignature, cascade: TensorSpec): void {
  if (spec.datatype !== cascade.datatype) {
    throw misfit(where, `has datatype ${spec.datatype} for ${tensor}, the cascade ${cascade.datatype}`);
  }
  const rowDims = level.maxBatchSize > 0 ? spec.dims : spec.dims.slice(1);
  const takesOneRow = level.maxBatchSize > 0 || spec.dims[0] === 1 || spec.dims[0] === -1;
  const fits = rowDims.length === cascade.dims.length && rowDims.every((dim, i) => fitsDim(dim, cascade.dims[i]));
  if (takesOneRow && fits) return;
  throw misfit(
    where,
    `has shape [${spec.dims}] for ${tensor}, the cascade [${cascade.dims}] a row; levels with other sizes need ` +
      "cascade inputs of their own",
  );
}

function fitsDim(dim: number, other: number | undefined): boolean {
  return dim === other || dim === -1 || other === -1;
}

function prepareConfidence(configured: CascadeLevel, where: string): Confidence | undefined {
  if (configured.confidence === null) return undefined;
  try {
    return confidenceOf(configured.confidence);
  } catch (error) {
    if (error instanceof InferenceError) throw misfit(where, `has a wrong confidence: ${error.message}`);
    throw error;
  }
}

/** The output of each role that the confidence function has; refuses roles it has not, and outputs no level has. */
function wireRoles(configured: CascadeLevel, level: ModelSignature, where: string): ReadonlyMap<string, string> {
  const wired = new Map<string, string>();
  if (configured.confidence === null) return wired;
  const { function: name, outputs } = configured.confidence;
  const roles = rolesOf(name);
  for (const role of Object.keys(outputs)) {
    if (!roles.includes(role)) {
      throw misfit(where, `names an output for the role '${role}', but '${name}' has the roles ${roles.join(", ")}`);
    }
  }
  for (const role of roles) {
    const output = outputs[role];
    if (output === undefined && OPTIONAL_ROLES.includes(role)) continue;
    const spec = level.outputs.find((candidate) => candidate.name === output);
    if (spec === undefined) throw misfit(where, `has no output '${output ?? ""}' for the confidence's role '${role}'`);
    const rowDims = level.maxBatchSize > 0 ? spec.dims : spec.dims.slice(1);
    const complaint = roleComplaint(name, role, spec.datatype, rowDims);
    if (complaint !== undefined) {
      throw misfit(where, `cannot take output '${spec.name}' for the confidence's role '${role}': it ${complaint}`);
    }
    wired.set(role, spec.name);
  }
  return wired;
}

function checkLabelMap(
  configured: CascadeLevel,
  labelMap: readonly number[],
  level: ModelSignature,
  where: string,
): void {
  if (configured.confidence === null) {
    throw misfit(where, "has a labelMap but no confidence, whose role 'scores' names the output that it maps");
  }
  const { function: name, outputs } = configured.confidence;
  if (!readsClasses(name)) {
    throw misfit(where, `has a labelMap, but its confidence '${name}' reads no class scores that it could map`);
  }
  const spec = level.outputs.find((output) => output.name === outputs["scores"]);
  const classes = spec?.dims.at(-1);
  if (spec !== undefined && classes !== -1 && labelMap.length !== classes) {
    throw misfit(where, `maps ${labelMap.length} labels, but output '${spec.name}' has ${classes ?? 1} classes`);
  }
}

/**
 * Refuses outputs that look like classes as well: only the scores are put into the cascade's order, and nothing says
 * whether others hold classes. A mask holds tokens.
 */
function checkOtherOutputs(
  wires: readonly Wire[],
  roles: ReadonlyMap<string, string>,
  labelMap: readonly number[],
  level: ModelSignature,
  where: string,
): void {
  const known = [roles.get("scores"), roles.get("mask")];
  const other = wires.find((wire) => {
    const spec = level.outputs.find(({ name }) => name === wire.level);
    return !known.includes(wire.level) && spec?.dims.at(-1) === labelMap.length;
  });
  if (other === undefined) return;
  throw misfit(
    where,
    `has a labelMap that reorders the classes of '${known[0] ?? ""}' only, but output '${other.level}' has ` +
      `${labelMap.length} values in its last dimension too and would keep the level's order: take '${other.cascade}' ` +
      "out of the cascade's outputs, or export the level with its classes in the cascade's order",
  );
}

function outputOf(outputs: readonly Tensor[], name: string): Tensor {
  const output = outputs.find((candidate) => candidate.name === name);
  if (output === undefined) throw new InferenceError("INTERNAL", `the level's response lacks output '${name}'`);
  return output;
}

function isIdentity(map: readonly number[] | null): boolean {
  return map === null || map.every((target, i) => target === i);
}

/** Moves class i of every row to class map[i]. */
function permuteClasses(scores: Tensor, map: readonly number[]): Tensor {
  const elementBytes = ELEMENT_BYTES[scores.datatype];
  const rowBytes = map.length * elementBytes;
  const data = new Uint8Array(scores.data.byteLength);
  for (let row = 0; row < data.byteLength; row += rowBytes) {
    map.forEach((target, i) => {
      const from = row + i * elementBytes;
      data.set(scores.data.subarray(from, from + elementBytes), row + target * elementBytes);
    });
  }
  return { ...scores, data };
}

function misfit(where: string, complaint: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `${where} ${complaint}`);
}
