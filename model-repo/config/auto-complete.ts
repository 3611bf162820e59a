/** Derives what a configuration leaves out from the ONNX file, exactly as Triton's onnxruntime backend. Pure. */
import { toConfigDataType } from "../../proto/datatypes.ts";
import { elementTypeName, type OnnxModel, type OnnxValue } from "../../proto/onnx/model.ts";
import type { ModelConfig, ModelDataType, ModelInput, ModelOutput, ModelTensorReshape } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** Triton completes only where inputs or outputs are missing; a complete configuration is taken as it is. */
export function needsModel(config: ModelConfig): boolean {
  return config.input.length === 0 || config.output.length === 0;
}

/**
 * Completes inputs, outputs, max_batch_size and dynamic_batching. Returns the configuration, unchanged where `problems`
 * say why it cannot be completed.
 */
export function autoComplete(
  config: ModelConfig,
  model: OnnxModel,
  defaultMaxBatchSize: number,
): { readonly config: ModelConfig; readonly problems: readonly Problem[] } {
  if (!needsModel(config)) return { config, problems: [] };
  const problems = [
    ...(config.input.length === 0 ? uncompletable(model.inputs, "input", config.name) : []),
    ...(config.output.length === 0 ? uncompletable(model.outputs, "output", config.name) : []),
  ];
  const batches = [...model.inputs, ...model.outputs].every((value) => value.shape?.[0] === -1);
  if (!batches && config.max_batch_size > 0) {
    const fixed = [...model.inputs, ...model.outputs].find((value) => value.shape?.[0] !== -1);
    problems.push(
      problem(
        "max_batch_size",
        `autofill failed for model '${config.name}': model does not support batching while non-zero max_batch_size ` +
          "is specified",
        `'${fixed?.name}' has shape ${shapeText(fixed?.shape)}: export the model with a variable first dimension, or ` +
          "set max_batch_size: 0",
      ),
    );
  }
  if (problems.length > 0) return { config, problems };
  const maxBatchSize = batches && config.max_batch_size === 0 ? defaultMaxBatchSize : config.max_batch_size;
  const hasScheduler = config.dynamic_batching !== undefined || config.sequence_batching !== undefined;
  return {
    problems,
    config: {
      ...config,
      max_batch_size: maxBatchSize,
      input: config.input.length > 0 ? config.input : model.inputs.map((value) => toInput(value, maxBatchSize)),
      output: config.output.length > 0 ? config.output : model.outputs.map((value) => toOutput(value, maxBatchSize)),
      ...(maxBatchSize > 1 && !hasScheduler ? { dynamic_batching: DEFAULT_DYNAMIC_BATCHING } : {}),
    },
  };
}

const DEFAULT_DYNAMIC_BATCHING = {
  preferred_batch_size: [],
  max_queue_delay_microseconds: 0,
  preserve_ordering: false,
  priority_levels: 0,
  default_priority_level: 0,
  priority_queue_policy: {},
};

/** Values whose type or rank the file does not give as a tensor's. */
function uncompletable(values: readonly OnnxValue[], field: "input" | "output", model: string): Problem[] {
  return values.flatMap((value) => {
    const unfit = unfitReason(value, field, model);
    if (unfit !== undefined) return [problem("", unfit.text, unfit.hint)];
    if (value.shape !== undefined) return [];
    const text = `autofill failed for model '${model}': ${field} '${value.name}' has an unknown rank in the model file`;
    return [problem("", text, `list the model's ${field}s with their dims in config.pbtxt`)];
  });
}

/** Why a model's value cannot be an input or output here; undefined where it can. */
export function unfitReason(
  value: OnnxValue,
  field: "input" | "output",
  model: string,
): { readonly text: string; readonly hint: string } | undefined {
  const subject = `model '${model}', ${field} '${value.name}'`;
  const others = `, or list only the other ${field}s in config.pbtxt`;
  if (value.kind === "sequence" || value.kind === "map") {
    return {
      text:
        `${subject} is a ${value.kind}, not a tensor, and cannot be served. Classifiers of scikit-learn end in such a ` +
        "ZipMap: export with options={'zipmap': False}",
      hint: `export the model with options={'zipmap': False}${field === "output" ? others : ""}`,
    };
  }
  if (value.kind !== "tensor") {
    return { text: `${subject} is of kind '${value.kind}'; only tensors can be served`, hint: "export it as a tensor" };
  }
  if (value.datatype === "BF16") {
    return {
      text: `${subject} is bfloat16, which onnxruntime-node cannot pass`,
      hint: `export the model with float32 or float16 inputs and outputs${field === "output" ? others : ""}`,
    };
  }
  if (value.datatype === undefined) {
    const type = elementTypeName(value.elementType);
    return { text: `${subject} is of type ${type}, which has no KServe datatype`, hint: "export it as another type" };
  }
  return undefined;
}

function toInput(value: OnnxValue, maxBatchSize: number): ModelInput {
  return {
    name: value.name,
    ...completedTensor(value, maxBatchSize),
    format: "FORMAT_NONE",
    is_shape_tensor: false,
    allow_ragged_batch: false,
    optional: false,
    is_non_linear_format_io: false,
  };
}

function toOutput(value: OnnxValue, maxBatchSize: number): ModelOutput {
  return {
    name: value.name,
    ...completedTensor(value, maxBatchSize),
    label_filename: "",
    is_shape_tensor: false,
    is_non_linear_format_io: false,
  };
}

/** dims may not be empty: a scalar is `[1]` on the wire, reshaped to nothing for the model. */
function completedTensor(
  value: OnnxValue,
  maxBatchSize: number,
): { data_type: ModelDataType; dims: readonly number[]; reshape?: ModelTensorReshape } {
  const dims = (value.shape ?? []).slice(maxBatchSize > 0 ? 1 : 0);
  const dataType = value.datatype === undefined ? "TYPE_INVALID" : toConfigDataType(value.datatype);
  return dims.length > 0 ? { data_type: dataType, dims } : { data_type: dataType, dims: [1], reshape: { shape: [] } };
}

/** A shape as Triton writes it: `[-1,16]`. */
export function shapeText(shape: readonly number[] | undefined): string {
  return shape === undefined ? "[unknown]" : `[${shape.join(",")}]`;
}
