/** Compares a configuration with its ONNX model, in the words of Triton's onnxruntime backend. Pure. */
import { fromConfigDataType } from "../../proto/datatypes.ts";
import type { OnnxModel, OnnxValue } from "../../proto/onnx/model.ts";
import { shapeText, unfitReason } from "./auto-complete.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** What onnxruntime-node 1.30.0 runs. */
const MAX_OPSET = 26;
const MAX_IR_VERSION = 13;
const EXTENSIONS_DOMAIN = "ai.onnx.contrib";

/** Problems that would fail the load, or the first request. */
export function checkOnnx(config: ModelConfig, model: OnnxModel): Problem[] {
  return [...checkRuntime(config, model), ...checkInputs(config, model), ...checkOutputs(config, model)];
}

function checkRuntime(config: ModelConfig, model: OnnxModel): Problem[] {
  const problems: Problem[] = [];
  const opset = model.opsets.get("") ?? 0;
  // Negated, so that a version that is no number fails too.
  if (!(opset <= MAX_OPSET) || !(model.irVersion <= MAX_IR_VERSION)) {
    problems.push(
      problem(
        "",
        `model '${config.name}' is of opset ${opset}, IR version ${model.irVersion}; onnxruntime-node 1.30.0 runs ` +
          `opsets 7 to ${MAX_OPSET} and IR versions 3 to ${MAX_IR_VERSION}`,
        "export the model for an older opset, such as opset_version=20 in torch.onnx.export",
      ),
    );
  }
  if (model.domains.has(EXTENSIONS_DOMAIN)) {
    problems.push(
      problem(
        "",
        `model '${config.name}' uses operators of onnxruntime-extensions (domain ${EXTENSIONS_DOMAIN}), which are ` +
          "custom code and are not loaded",
        "export the model without them and tokenize on the client's side",
      ),
    );
  }
  return problems;
}

function checkInputs(config: ModelConfig, model: OnnxModel): Problem[] {
  const controls = (config.sequence_batching?.control_input ?? []).map((control) => control.name);
  const states = (config.sequence_batching?.state ?? []).map((state) => state.input_name);
  const generated = config.batch_input.flatMap((batchInput) => batchInput.target_name);
  const expected = config.input.length + controls.length + states.length + generated.length;
  const problems: Problem[] = [];
  if (expected !== model.inputs.length) {
    problems.push(
      problem(
        "input",
        `unable to load model '${config.name}', configuration expects ${expected} inputs, model provides ` +
          `${model.inputs.length}`,
        `the model's inputs are: ${names(model.inputs).join(", ")}`,
      ),
    );
  }
  const values = new Map(model.inputs.map((value) => [value.name, value]));
  config.input.forEach((input, i) => {
    const path = `input[${i}]`;
    const value = values.get(input.name);
    if (value === undefined) {
      const allowed = names(model.inputs).join(", ");
      const text = `unexpected inference input '${input.name}', allowed inputs are: ${allowed}`;
      problems.push(problem(`${path}.name`, text));
      return;
    }
    if (input.optional && config.max_batch_size > 0) {
      const text = `model '${config.name}': input '${input.name}' cannot be optional in a model that batches`;
      problems.push(problem(`${path}.optional`, text, "set max_batch_size: 0 or optional: false"));
    }
    problems.push(...checkType(config, value, input, "input", path));
    problems.push(...(input.allow_ragged_batch ? checkRagged : checkDims)(config, value, input, "input", path));
  });
  return problems;
}

function checkOutputs(config: ModelConfig, model: OnnxModel): Problem[] {
  const values = new Map(model.outputs.map((value) => [value.name, value]));
  if (config.output.length === 0) {
    const text = `model '${config.name}' lists no outputs, model provides ${names(model.outputs).join(", ")}`;
    return [problem("output", text, "list them in config.pbtxt, or let them be completed")];
  }
  return config.output.flatMap((output, i) => {
    const path = `output[${i}]`;
    const value = values.get(output.name);
    if (value === undefined) {
      const allowed = names(model.outputs).join(", ");
      const text = `unexpected inference output '${output.name}', allowed outputs are: ${allowed}`;
      return [problem(`${path}.name`, text)];
    }
    return [...checkType(config, value, output, "output", path), ...checkDims(config, value, output, "output", path)];
  });
}

/** Triton lists names sorted. */
function names(values: readonly OnnxValue[]): string[] {
  return values.map((value) => value.name).sort();
}

type Tensor = ModelInput | ModelOutput;

function checkType(
  config: ModelConfig,
  value: OnnxValue,
  tensor: Tensor,
  field: "input" | "output",
  path: string,
): Problem[] {
  const unfit = unfitReason(value, field, config.name);
  if (unfit !== undefined) return [problem(`${path}.name`, unfit.text, unfit.hint)];
  if (fromConfigDataType(tensor.data_type) === value.datatype) return [];
  // Triton prints the wire's name after TYPE_: TYPE_BYTES where a configuration says TYPE_STRING.
  const text =
    `unable to load model '${config.name}', configuration expects datatype ${tensor.data_type} for ${field} ` +
    `'${tensor.name}', model provides TYPE_${value.datatype}`;
  return [problem(`${path}.data_type`, text)];
}

function checkRagged(config: ModelConfig, value: OnnxValue, tensor: Tensor, _: string, path: string): Problem[] {
  const start = `unable to load model '${config.name}', configuration expects model provides input with shape [-1]`;
  if ("optional" in tensor && tensor.optional) {
    const text = `${start} for ragged input '${tensor.name}', which is not supported for optional input`;
    return [problem(`${path}.allow_ragged_batch`, text)];
  }
  if (value.shape === undefined || (value.shape.length === 1 && value.shape[0] === -1)) return [];
  // Two spaces, as Triton prints them.
  const text = `${start}  for ragged input '${tensor.name}', model provides ${shapeText(value.shape)}`;
  return [problem(`${path}.allow_ragged_batch`, text)];
}

/** A -1 in a model's input takes any size; a model's output must be described exactly. */
function checkDims(
  config: ModelConfig,
  value: OnnxValue,
  tensor: Tensor,
  field: "input" | "output",
  path: string,
): Problem[] {
  const { shape } = value;
  // Unlike Triton, which reads an unknown rank as a scalar: the configuration is the only one who knows.
  if (shape === undefined) return [];
  const dims = tensor.reshape?.shape ?? tensor.dims;
  const isReshaped = tensor.reshape !== undefined;
  const subject = `model '${config.name}', tensor '${tensor.name}'`;
  const batches = config.max_batch_size > 0;
  if (batches && shape[0] !== -1) {
    const text =
      `${subject}: for the model to support batching the shape should have at least 1 dimension and the first ` +
      `dimension must be -1; but shape expected by the model is ${shapeText(shape)}`;
    return [problem("max_batch_size", text, "set max_batch_size: 0, or export the model with a variable batch")];
  }
  const full = batches ? [-1, ...dims] : dims;
  const fits =
    full.length === shape.length && shape.every((dim, i) => dim === full[i] || (dim === -1 && field === "input"));
  if (fits) return [];
  const text =
    `${subject}: the model expects ${shape.length} dimensions (shape ${shapeText(shape)}) but the model configuration ` +
    `specifies ${full.length} dimensions ` +
    (batches
      ? "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete " +
        `shape ${shapeText(full)})`
      : `(shape ${shapeText(full)})`);
  const wanted = shapeText(shape.slice(batches ? 1 : 0));
  const hint = `write ${isReshaped ? "reshape: { shape" : "dims"}: ${wanted}${isReshaped ? " }" : ""}`;
  return [problem(`${path}.${isReshaped ? "reshape" : "dims"}`, text, hint)];
}
