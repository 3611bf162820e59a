import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { validateRequest } from "../../scheduler/validate-request.ts";
import { bytes, fp32, request, signature, spec } from "../support/tensors.ts";

const TWO = signature({ name: "M", inputs: [spec("INPUT0", [16]), spec("INPUT1", [16])] });
const ONE = signature({ name: "M", inputs: [spec("X", [16])] });
const FIXED = signature({ name: "M", maxBatchSize: 0, inputs: [spec("X", [2, 4])] });
const TEXT = signature({ name: "M", inputs: [spec("X", [2], "BYTES")] });
const OPTIONAL = signature({
  name: "M",
  inputs: [spec("A", [1]), spec("B", [1]), spec("C", [1]), { ...spec("D", [1]), optional: true }],
});
const NOTE =
  "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each " +
  "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting " +
  "max_batch_size to zero. See the model configuration docs for more info on max_batch_size.";

function zeros(name: string, shape: readonly number[]): Tensor {
  return fp32(name, shape, new Array<number>(shape.reduce((product, dim) => product * Math.max(0, dim), 1)).fill(0));
}

function raw(name: string, shape: readonly number[], data: readonly number[]): Tensor {
  return { name, datatype: "BYTES", shape, data: Uint8Array.from(data) };
}

interface Refusal {
  readonly title: string;
  readonly signature: ModelSignature;
  readonly request: Partial<InferenceRequest>;
  readonly message: string;
}

// The error catalogue of a running Triton core, row by row.
const REFUSALS: readonly Refusal[] = [
  {
    title: "unknown output, without the request id",
    signature: ONE,
    request: { id: "7", inputs: [zeros("X", [1, 16])], requestedOutputs: [{ name: "Y", parameters: new Map() }] },
    message: "unexpected inference output 'Y' for model 'M'",
  },
  {
    title: "unknown input, without the request id",
    signature: ONE,
    request: { id: "7", inputs: [zeros("Y", [1, 16])] },
    message: "unexpected inference input 'Y' for model 'M'",
  },
  {
    title: "missing input",
    signature: TWO,
    request: { id: "7", inputs: [zeros("INPUT0", [1, 16])] },
    message:
      "[request id: 7] expected 2 inputs but got 1 inputs for model 'M'. Got input(s) ['INPUT0'], but missing required " +
      "input(s) ['INPUT1']. Please provide all required input(s).",
  },
  {
    title: "no inputs at all, optional ones allowed",
    signature: OPTIONAL,
    request: {},
    message:
      "[request id: <id_unknown>] expected number of inputs between 3 and 4 but got 0 inputs for model 'M'. Got " +
      "input(s) [], but missing required input(s) ['A','B','C']. Please provide all required input(s).",
  },
  {
    title: "too many inputs",
    signature: TWO,
    request: { inputs: [zeros("INPUT0", [1, 16]), zeros("INPUT1", [1, 16]), zeros("INPUT2", [1, 16])] },
    message:
      "[request id: <id_unknown>] expected 2 inputs but got 3 inputs for model 'M'. Got input(s) " +
      "['INPUT2','INPUT1','INPUT0'], but missing required input(s) ]. Please provide all required input(s).",
  },
  {
    title: "no batch dimension: the last input is named",
    signature: TWO,
    request: { inputs: [zeros("INPUT0", []), zeros("INPUT1", [])] },
    message: "[request id: <id_unknown>] input 'INPUT1' has no shape but model requires batch dimension for 'M'",
  },
  {
    title: "different batch sizes: the first input is named",
    signature: TWO,
    request: { inputs: [zeros("INPUT0", [1, 16]), zeros("INPUT1", [2, 16])] },
    message: "[request id: <id_unknown>] input 'INPUT0' batch size does not match other inputs for 'M'",
  },
  {
    title: "batch too large",
    signature: ONE,
    request: { inputs: [zeros("X", [9, 16])] },
    message: "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'M'",
  },
  {
    title: "a shape without the batch dimension counts as a large batch",
    signature: ONE,
    request: { inputs: [zeros("X", [16])] },
    message: "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'M'",
  },
  {
    title: "datatype",
    signature: ONE,
    request: { inputs: [{ ...zeros("X", [1, 16]), datatype: "INT32" }] },
    message: "[request id: <id_unknown>] inference input 'X' data-type is 'INT32', but model 'M' expects 'FP32'",
  },
  {
    title: "negative dimension",
    signature: ONE,
    request: { inputs: [zeros("X", [1, -16])] },
    message:
      "[request id: <id_unknown>] All input dimensions should be specified for input 'X' for model 'M', got [1,-16]",
  },
  {
    title: "shape of a batching model",
    signature: ONE,
    request: { id: "7", inputs: [zeros("X", [1, 17])] },
    message: `[request id: 7] unexpected shape for input 'X' for model 'M'. Expected [-1,16], got [1,17]. ${NOTE}`,
  },
  {
    title: "shape of a model that does not batch",
    signature: FIXED,
    request: { inputs: [zeros("X", [2, 5])] },
    message: "[request id: <id_unknown>] unexpected shape for input 'X' for model 'M'. Expected [2,4], got [2,5]. ",
  },
  {
    title: "byte size",
    signature: FIXED,
    request: { inputs: [{ ...zeros("X", [2, 4]), data: new Uint8Array(40) }] },
    message: "[request id: <id_unknown>] input byte size mismatch for input 'X' for model 'M'. Expected 32, got 40",
  },
  {
    title: "too few strings",
    signature: TEXT,
    request: { inputs: [bytes("X", [2, 2], ["a", "b", "c"])] },
    message: "[request id: <id_unknown>] expected 4 string elements for inference input 'X' for model 'M', got 3",
  },
  {
    title: "too many strings",
    signature: TEXT,
    request: { inputs: [bytes("X", [1, 2], ["a", "b", "c"])] },
    message:
      "[request id: <id_unknown>] unexpected number of string elements 3 for inference input 'X' for model 'M', " +
      "expecting 2",
  },
  {
    title: "a length that is cut off",
    signature: TEXT,
    request: { inputs: [raw("X", [1, 2], [1, 0, 0, 0, 65, 9, 0])] },
    message:
      "[request id: <id_unknown>] incomplete string length indicator for inference input 'X' for model 'M', expecting " +
      "4 bytes but only 2 bytes available. Please make sure the string length indicator is in one buffer.",
  },
  {
    title: "a string that is cut off, without the request id",
    signature: TEXT,
    request: { id: "7", inputs: [raw("X", [1, 2], [100, 0, 0, 0, 65, 66, 67])] },
    message:
      "incomplete string data for inference input 'X', expecting string of length 100 but only 3 bytes available",
  },
  {
    title: "a string length of 2^32 - 1",
    signature: TEXT,
    request: { inputs: [raw("X", [1, 2], [255, 255, 255, 255])] },
    message:
      "incomplete string data for inference input 'X', expecting string of length 4294967295 but only 0 bytes available",
  },
  {
    title: "dimensions whose product overflows",
    signature: signature({ name: "M", maxBatchSize: 0, inputs: [spec("X", [-1, -1])] }),
    request: { inputs: [{ ...zeros("X", [0]), shape: [2 ** 31, 2 ** 31] }] },
    message: "byte size for tensor 'X' exceeds maximum size of 9223372036854775807",
  },
];

describe("validateRequest", () => {
  for (const { title, signature: model, request: overrides, message } of REFUSALS) {
    it(`refuses: ${title}`, () => {
      assert.throws(() => validateRequest(model, request({ modelName: "M", ...overrides })), {
        name: "InferenceError",
        code: "INVALID_ARGUMENT",
        message,
      });
    });
  }

  it("returns the batch size", () => {
    assert.equal(validateRequest(ONE, request({ inputs: [zeros("X", [3, 16])] })), 3);
    assert.equal(validateRequest(FIXED, request({ inputs: [zeros("X", [2, 4])] })), 1);
    assert.equal(validateRequest(TEXT, request({ inputs: [bytes("X", [1, 2], ["", "long text"])] })), 1);
  });

  it("accepts an empty batch, absent optional inputs and any size of a variable dimension", () => {
    assert.equal(validateRequest(ONE, request({ inputs: [zeros("X", [0, 16])] })), 0);
    const inputs = ["A", "B", "C"].map((name) => zeros(name, [2, 1]));
    assert.equal(validateRequest(OPTIONAL, request({ inputs })), 2);
    const variable = signature({ inputs: [spec("X", [-1])] });
    assert.equal(validateRequest(variable, request({ inputs: [zeros("X", [1, 12345])] })), 1);
  });
});
