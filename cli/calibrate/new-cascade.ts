/** Makes a cascade of models that never were one: wires their tensors and writes the configuration. */
import type { DataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";

/** Names that score outputs have, the likeliest first, where a model has several floating-point outputs. */
const SCORE_NAMES = ["logits", "scores", "probabilities", "probs", "output"];
/** Output of sequence models that tells which tokens count. */
const MASK = "mask";
const DEFAULT_MAX_BATCH_SIZE = 64;

export interface NewCascade {
  readonly inputs: readonly TensorSpec[];
  /** The scores, under the last level's name for them. */
  readonly output: TensorSpec;
  /**
   * What tells which tokens count, where the levels are sequence models that say it: answers are compared by it too, as in
   * the drift watch.
   */
  readonly mask: TensorSpec | null;
  readonly levels: readonly CascadeLevel[];
}

/**
 * Wires levels, smallest first, into a cascade whose tensors are the last level's. Inputs are matched by name, else by
 * being the only one of their type and shape; an input of another shape becomes an input of the cascade of its own.
 * Throws INVALID_ARGUMENT where a score output is not clear or the shapes of the scores differ, and where some levels have
 * a mask of tokens and others have none.
 */
export function newCascade(levels: readonly ModelSignature[]): NewCascade {
  const last = levels.at(-1);
  if (last === undefined || levels.length < 2) {
    throw new InferenceError("INVALID_ARGUMENT", "--levels must name at least two models, the smallest first");
  }
  const inputs: TensorSpec[] = rowSpecs(last, last.inputs);
  const output = rowSpecs(last, [scoreOutput(last)])[0] as TensorSpec; // one in, one out
  const mask = tokenMask(levels, output);
  const wired = levels.map((level): CascadeLevel => {
    const scores = rowSpecs(level, [scoreOutput(level)])[0] as TensorSpec; // as above
    if (scores.datatype !== output.datatype || !sameDims(scores.dims, output.dims)) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `the scores of '${level.name}' ('${scores.name}', ${scores.datatype} [${scores.dims}]) are not like those of ` +
          `'${last.name}' ('${output.name}', ${output.datatype} [${output.dims}]); levels must know the same classes`,
      );
    }
    const inputMap: Record<string, string> = {};
    for (const input of rowSpecs(level, level.inputs)) inputMap[input.name] = wireInput(input, level, inputs);
    return {
      model: level.name,
      version: level.version,
      inputs: inputMap,
      outputs: { [output.name]: scores.name, ...(mask === null ? {} : { [MASK]: MASK }) },
      labelMap: null,
      confidence: {
        function: isSequence(output) ? "min_token" : "max_prob",
        kind: "logits",
        outputs: mask === null ? { scores: scores.name } : { scores: scores.name, mask: MASK },
        params: {},
      },
      cost: null,
    };
  });
  return { inputs, output, mask, levels: wired };
}

/** Scores of tokens: [tokens, classes] a row. */
function isSequence({ dims }: TensorSpec): boolean {
  return dims.length === 2;
}

/** The last level's mask, which all levels must have alike, as every output of a cascade. */
function tokenMask(levels: readonly ModelSignature[], scores: TensorSpec): TensorSpec | null {
  if (!isSequence(scores)) return null;
  const masks = levels.map((level) => rowSpecs(level, level.outputs).find(({ name }) => name === MASK));
  const mask = masks.at(-1);
  if (masks.every((own) => own === undefined)) return null;
  if (mask !== undefined && masks.every((own) => own?.datatype === mask.datatype && sameDims(own.dims, mask.dims))) {
    return mask;
  }
  const found = levels.map(({ name }, k) => {
    const own = masks[k];
    return `'${name}' ${own === undefined ? "has none" : `${own.datatype} [${own.dims}]`}`;
  });
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `the levels do not all have the output '${MASK}', which tells the tokens that count, or not alike: ` +
      `${found.join(", ")}; padding would count at some levels only: export it from all of them, or from none`,
  );
}

/** config.pbtxt of a new cascade. */
export function newCascadeConfig(name: string, { inputs, output, mask }: NewCascade): string {
  const tensor = (spec: TensorSpec) =>
    `  { name: "${spec.name}" data_type: TYPE_${configType(spec.datatype)} dims: [ ${spec.dims.join(", ")} ] }`;
  return [
    `name: "${name}"`,
    'backend: "cascade"',
    `max_batch_size: ${DEFAULT_MAX_BATCH_SIZE}`,
    "input [",
    inputs.map(tensor).join(",\n"),
    "]",
    "output [",
    `${tensor(output)},`,
    ...(mask === null ? [] : ["  # 1 where a token counts, 0 at padding.", `${tensor(mask)},`]),
    "  # The level whose answer a row carries, and that level's confidence in it.",
    '  { name: "CASCADE_LEVEL" data_type: TYPE_INT32 dims: [ 1 ] },',
    '  { name: "CASCADE_CONFIDENCE" data_type: TYPE_FP32 dims: [ 1 ] }',
    "]",
    "",
  ].join("\n");
}

/** Dims of one row: of a model that does not batch its own first dimension counts rows. */
function rowSpecs(model: ModelSignature, specs: readonly TensorSpec[]): TensorSpec[] {
  return specs.map((spec) => ({
    name: spec.name,
    datatype: spec.datatype,
    dims: model.maxBatchSize > 0 ? spec.dims : spec.dims.slice(1),
  }));
}

/** The one output that can hold class scores; throws INVALID_ARGUMENT where that is not clear. */
export function scoreOutput(model: ModelSignature): TensorSpec {
  const floats = model.outputs.filter(({ datatype }) => ["FP16", "FP32", "FP64"].includes(datatype));
  const named = SCORE_NAMES.map((name) => floats.find((output) => output.name === name)).find((found) => found);
  const only = floats.length === 1 ? floats[0] : named;
  if (only !== undefined) return only;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${model.name}' has ${floats.length === 0 ? "no" : `${floats.length}`} floating-point outputs ` +
      `(${model.outputs.map((output) => output.name).join(", ")}); which holds the class scores is not clear: write ` +
      "config.pbtxt and cascade.json of the cascade by hand (docs/cascade.md)",
  );
}

/** The cascade's input for a level's; adds one where none fits. */
function wireInput(input: TensorSpec, level: ModelSignature, inputs: TensorSpec[]): string {
  const fits = (other: TensorSpec) => other.datatype === input.datatype && sameDims(other.dims, input.dims);
  const namesake = inputs.find((other) => other.name === input.name);
  if (namesake !== undefined && fits(namesake)) return namesake.name;
  const alike = inputs.filter(fits);
  const only = alike.length === 1 && level.inputs.length === 1 ? alike[0] : undefined;
  if (only !== undefined) return only.name;
  const name = namesake === undefined ? input.name : `${input.name}_${level.name}`;
  inputs.push({ ...input, name });
  return name;
}

function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i] || dim === -1 || b[i] === -1);
}

/** KServe's word as config.pbtxt has it. */
function configType(datatype: DataType): string {
  return datatype === "BYTES" ? "STRING" : datatype;
}
