/** Checks of inputs and outputs, in Triton's order and words (`ValidateModelIOConfig`). */
import type { ModelConfig, ModelInput, ModelOutput } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** Problems of `input`, `output`, `batch_input` and `batch_output`. */
export function checkIo(config: ModelConfig): Problem[] {
  const problems = [
    ...config.input.flatMap((input, i) => checkInput(input, `input[${i}]`, config.max_batch_size)),
    ...config.output.flatMap((output, i) => checkTensor(output, "output", `output[${i}]`, config.max_batch_size)),
    ...checkNames(config.input, "input"),
    ...checkNames(config.output, "output"),
    ...checkBatchInputs(config),
    ...checkBatchOutputs(config),
  ];
  return problems.map((found) => ({ ...found, text: `${found.text} for ${config.name}` }));
}

function checkInput(input: ModelInput, path: string, maxBatchSize: number): Problem[] {
  const problems = checkTensor(input, "input", path, maxBatchSize);
  if (input.format !== "FORMAT_NONE" && input.dims.length !== 3) {
    problems.push(problem(`${path}.format`, "model input NHWC/NCHW require 3 dims"));
  }
  return problems;
}

function checkTensor(
  tensor: ModelInput | ModelOutput,
  kind: "input" | "output",
  path: string,
  maxBatchSize: number,
): Problem[] {
  if (tensor.name === "") return [problem(path, `model ${kind} must specify 'name'`)];
  const subject = `model ${kind} '${tensor.name}'`;
  const problems: Problem[] = [];
  if (tensor.data_type === "TYPE_INVALID") problems.push(problem(path, `${subject} must specify 'data_type'`));
  if (tensor.dims.length === 0) problems.push(problem(path, `${subject} must specify 'dims'`));
  if (tensor.reshape?.shape.length === 0 && maxBatchSize === 0) {
    problems.push(
      problem(
        `${path}.reshape`,
        `${subject} cannot have empty reshape for non-batching model as scalar tensors are not supported`,
      ),
    );
  }
  tensor.dims.forEach((dim, i) => {
    if (isDimension(dim)) return;
    const text = `${subject} dimension must be integer >= 1, or -1 to indicate a variable-size dimension`;
    problems.push(problem(`${path}.dims[${i}]`, text));
  });
  problems.push(...checkReshape(tensor, subject, path));
  if (tensor.is_shape_tensor) {
    problems.push(problem(`${path}.is_shape_tensor`, "shape tensors are only supported for TensorRT platform"));
  }
  if (tensor.is_non_linear_format_io) {
    const text = `${subject} uses a non-linear IO format, which is only supported for TensorRT platform`;
    problems.push(problem(`${path}.is_non_linear_format_io`, text));
  }
  return problems;
}

function checkReshape(tensor: ModelInput | ModelOutput, subject: string, path: string): Problem[] {
  if (tensor.reshape === undefined) return [];
  const { shape } = tensor.reshape;
  const wrong = shape.findIndex((dim) => !isDimension(dim));
  if (wrong >= 0) {
    const text = `${subject} reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension`;
    return [problem(`${path}.reshape.shape[${wrong}]`, text)];
  }
  const mismatch = compareReshape(tensor.dims, shape);
  return mismatch === undefined ? [] : [problem(`${path}.reshape`, `${subject} ${mismatch}`)];
}

/** A reshape keeps the element count; around variable-size dimensions, stretch by stretch. */
function compareReshape(dims: readonly number[], shape: readonly number[]): string | undefined {
  const differentSize = "has different size for dims and reshape";
  const isVariable = dims.includes(-1);
  if (isVariable !== shape.includes(-1)) return differentSize;
  const from = stretches(dims);
  const to = stretches(shape);
  if (from.length !== to.length) return "has different number of variable-size dimensions for dims and reshape";
  return from.every((count, i) => count === to[i]) ? undefined : differentSize;
}

/** Element counts between the variable-size dimensions. */
function stretches(dims: readonly number[]): bigint[] {
  const counts = [1n];
  for (const dim of dims) {
    if (dim === -1) counts.push(1n);
    else counts.push((counts.pop() ?? 1n) * BigInt(dim));
  }
  return counts;
}

function isDimension(dim: number): boolean {
  return dim >= 1 || dim === -1;
}

/** Triton keeps the last of two; nobody means that. */
function checkNames(tensors: readonly (ModelInput | ModelOutput)[], field: "input" | "output"): Problem[] {
  const seen = new Set<string>();
  return tensors.flatMap(({ name }, i) => {
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    return name === "" ? [] : [problem(`${field}[${i}].name`, `model ${field} '${name}' is listed more than once`)];
  });
}

function checkBatchInputs(config: ModelConfig): Problem[] {
  const inputs = new Set(config.input.map((input) => input.name));
  return config.batch_input.flatMap((batchInput, i) => {
    const path = `batch_input[${i}]`;
    const sources = batchInput.source_input;
    if (sources.length !== 1) {
      return [problem(path, `batch input kind '${batchInput.kind}' expects 1 source input, got ${sources.length}`)];
    }
    if (batchInput.data_type !== "TYPE_INT32" && batchInput.data_type !== "TYPE_FP32") {
      return [problem(path, "batch input data type must be TYPE_INT32 or TYPE_FP32")];
    }
    return unknownNames(sources, inputs, `${path}.source_input`, "source input");
  });
}

function checkBatchOutputs(config: ModelConfig): Problem[] {
  const inputs = new Set(config.input.map((input) => input.name));
  const outputs = new Set(config.output.map((output) => output.name));
  return config.batch_output.flatMap((batchOutput, i) => {
    const path = `batch_output[${i}]`;
    const { source_input: sources, target_name: targets } = batchOutput;
    if (sources.length !== 1) {
      return [problem(path, `batch output kind '${batchOutput.kind}' expects 1 source input, got ${sources.length}`)];
    }
    const twice = targets.findIndex((name, j) => targets.indexOf(name) < j);
    return [
      ...unknownNames(sources, inputs, `${path}.source_input`, "source input"),
      ...unknownNames(targets, outputs, `${path}.target_name`, "target output"),
      ...(twice < 0
        ? []
        : [
            problem(
              `${path}.target_name[${twice}]`,
              `target output name '${targets[twice]}' can only be specified once`,
            ),
          ]),
    ];
  });
}

function unknownNames(names: readonly string[], known: ReadonlySet<string>, path: string, kind: string): Problem[] {
  return names.flatMap((name, i) =>
    known.has(name) ? [] : [problem(`${path}[${i}]`, `unknown ${kind} name '${name}'`)],
  );
}
