import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { autoComplete } from "../../../model-repo/config/auto-complete.ts";
import { checkOnnx } from "../../../model-repo/config/check-onnx.ts";
import type { ModelInput, ModelOutput } from "../../../model-repo/config/model-config.ts";
import { readModelBytes } from "../../../proto/onnx/read-model.ts";
import { readConfig } from "../../support/model-configs.ts";
import {
  addModel,
  identityModel,
  type ModelParts,
  node,
  onnxModel,
  tensorInfo,
  zipMapInfo,
} from "../../support/onnx-writer.ts";

const ONNX = 'backend: "onnxruntime"\n';

async function complete(text: string, bytes: Uint8Array, defaultMaxBatchSize = 4) {
  return autoComplete(readConfig(ONNX + text).config, await readModelBytes(bytes, "model.onnx"), defaultMaxBatchSize);
}

/** Name, type, dims and reshape of tensors. */
function brief(tensors: readonly (ModelInput | ModelOutput)[]) {
  return tensors.map(({ name, data_type, dims, reshape }) => [name, data_type, dims, reshape?.shape]);
}

describe("autoComplete", () => {
  it("makes a model batch whose first dimensions are all open", async () => {
    const { config, problems } = await complete("", addModel("FP32", ["N", 16]));
    assert.deepEqual(problems, []);
    assert.equal(config.max_batch_size, 4);
    assert.deepEqual(config.dynamic_batching?.preferred_batch_size, []);
    assert.deepEqual(brief(config.input), [
      ["INPUT0", "TYPE_FP32", [16], undefined],
      ["INPUT1", "TYPE_FP32", [16], undefined],
    ]);
    assert.deepEqual(brief(config.output), [["OUTPUT0", "TYPE_FP32", [16], undefined]]);
  });

  it("keeps a given batch size and scheduler", async () => {
    const bytes = identityModel("INT64", [-1, 2]);
    const { config } = await complete("max_batch_size: 32\ndynamic_batching { preserve_ordering: true }", bytes);
    assert.equal(config.max_batch_size, 32);
    assert.equal(config.dynamic_batching?.preserve_ordering, true);
  });

  it("adds dynamic batching only above a batch size of one", async () => {
    const bytes = identityModel("INT64", [-1, 2]);
    assert.equal((await complete("max_batch_size: 1", bytes)).config.dynamic_batching, undefined);
    assert.equal((await complete("", bytes, 1)).config.dynamic_batching, undefined);
    assert.equal((await complete("", bytes, 1)).config.max_batch_size, 1);
  });

  it("leaves a model alone that does not batch", async () => {
    const { config } = await complete("", identityModel("FP16", [2, -1]));
    assert.equal(config.max_batch_size, 0);
    assert.equal(config.dynamic_batching, undefined);
    assert.deepEqual(brief(config.input), [["x", "TYPE_FP16", [2, -1], undefined]]);
    const mixed = onnxModel({
      nodes: [],
      inputs: [tensorInfo("x", "FP32", ["N", 4])],
      outputs: [tensorInfo("y", "FP32", [1, 4])],
    });
    assert.equal((await complete("", mixed)).config.max_batch_size, 0);
  });

  it("writes a scalar as [1] reshaped to nothing", async () => {
    const { config } = await complete("", identityModel("BYTES", ["N"]));
    assert.deepEqual(brief(config.input), [["x", "TYPE_STRING", [1], []]]);
    assert.deepEqual(brief(config.output), [["y", "TYPE_STRING", [1], []]]);
  });

  it("completes each list by itself and nothing where both are given", async () => {
    const bytes = identityModel("FP32", ["N", 4]);
    const partial = await complete('input { name: "mine" data_type: TYPE_INT8 dims: 7 }', bytes);
    assert.deepEqual(brief(partial.config.input), [["mine", "TYPE_INT8", [7], undefined]]);
    assert.deepEqual(brief(partial.config.output), [["y", "TYPE_FP32", [4], undefined]]);
    const given =
      'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] } output { name: "y" data_type: TYPE_FP32 dims: 4 }';
    const { config } = await complete(given, bytes);
    assert.equal(config.max_batch_size, 0);
    assert.equal(config.dynamic_batching, undefined);
  });

  const failures: readonly (readonly [string, string, Uint8Array, string])[] = [
    [
      "a batch size for a model that does not batch",
      "max_batch_size: 8",
      identityModel("FP32", [1, 4]),
      "autofill failed for model 'M': model does not support batching while non-zero max_batch_size is specified",
    ],
    [
      "an unknown rank",
      "",
      onnxModel({ nodes: [], inputs: [tensorInfo("x", "FP32")], outputs: [tensorInfo("y", "FP32", [1])] }),
      "autofill failed for model 'M': input 'x' has an unknown rank in the model file",
    ],
    [
      "a ZipMap",
      "",
      onnxModel({ nodes: [], inputs: [tensorInfo("x", "FP32", ["N"])], outputs: [zipMapInfo("p")] }),
      "model 'M', output 'p' is a sequence, not a tensor, and cannot be served. Classifiers of scikit-learn end in such a " +
        "ZipMap: export with options={'zipmap': False}",
    ],
    [
      "bfloat16",
      "",
      identityModel("BF16", ["N", 1]),
      "model 'M', input 'x' is bfloat16, which onnxruntime-node cannot pass",
    ],
    [
      "a type of no datatype",
      "",
      onnxModel({ nodes: [], inputs: [tensorInfo("x", 17, ["N"])], outputs: [] }),
      "model 'M', input 'x' is of type float8e4m3fn, which has no KServe datatype",
    ],
  ];
  for (const [what, text, bytes, message] of failures) {
    it(`fails on ${what}`, async () => {
      assert.equal((await complete(text, bytes)).problems[0]?.text, message);
    });
  }
});

const X = (fields: string) => `input {\n name: "x" ${fields} }\n`;
const Y = (fields: string) => `output {\n name: "y" ${fields} }\n`;
const FP32 = (dims: string) => `data_type: TYPE_FP32 dims: [ ${dims} ]`;
const SOUND = X(FP32("4")) + Y(FP32("4"));

async function problemsOf(text: string, bytes: Uint8Array) {
  const { config, lineOf } = readConfig(ONNX + text);
  const problems = checkOnnx(config, await readModelBytes(bytes, "model.onnx"));
  return problems.map((found) => ({ text: found.text, line: lineOf(found.path) }));
}

describe("checkOnnx", () => {
  const square = identityModel("FP32", ["N", 4]);

  it("takes what fits", async () => {
    const sound: readonly (readonly [string, Uint8Array])[] = [
      [`max_batch_size: 4 ${SOUND}`, square],
      [X(FP32("-1, 4")) + Y(FP32("-1, 4")), square],
      // The model's open dimensions take any fixed size in an input.
      [X(FP32("7, 4")) + Y(FP32("-1, 4")), square],
      [
        `max_batch_size: 4 ${X(`${FP32("2, 2")} reshape { shape: 4 }`)}${Y(`${FP32("2, 2")} reshape { shape: 4 }`)}`,
        square,
      ],
      // Unknown rank: the configuration knows better.
      [
        `max_batch_size: 4 ${SOUND}`,
        onnxModel({ nodes: [], inputs: [tensorInfo("x", "FP32")], outputs: [tensorInfo("y", "FP32")] }),
      ],
      // Outputs may be left out, also those that are no tensors.
      [
        SOUND,
        onnxModel({
          nodes: [],
          inputs: [tensorInfo("x", "FP32", [4])],
          outputs: [tensorInfo("y", "FP32", [4]), zipMapInfo("p"), tensorInfo("b", "BF16", [1])],
        }),
      ],
    ];
    for (const [text, bytes] of sound) assert.deepEqual(await problemsOf(text, bytes), [], text);
  });

  const cases: readonly (readonly [string, Uint8Array, number | undefined, string])[] = [
    [
      `max_batch_size: 4 ${X(FP32("4"))}${Y(FP32("4"))}`,
      addModel("FP32", ["N", 4]),
      2,
      "unable to load model 'M', configuration expects 1 inputs, model provides 2",
    ],
    [
      `max_batch_size: 4\ninput { name: "INPUT_UNKNOWN" ${FP32("4")} }${Y(FP32("4"))}`,
      square,
      3,
      "unexpected inference input 'INPUT_UNKNOWN', allowed inputs are: x",
    ],
    [
      `max_batch_size: 4 ${X(FP32("4"))} output { name: "z"\n ${FP32("4")} }`,
      square,
      4,
      "unexpected inference output 'z', allowed outputs are: y",
    ],
    [
      `max_batch_size: 4 ${X("data_type: TYPE_INT32 dims: 4")}${Y(FP32("4"))}`,
      square,
      3,
      "unable to load model 'M', configuration expects datatype TYPE_INT32 for input 'x', model provides TYPE_FP32",
    ],
    [
      `max_batch_size: 4 ${X(FP32("4"))}${Y("data_type: TYPE_STRING dims: 4")}`,
      square,
      5,
      "unable to load model 'M', configuration expects datatype TYPE_STRING for output 'y', model provides TYPE_FP32",
    ],
    [
      `max_batch_size: 4 ${X(FP32("4"))}${Y(FP32("4"))}`,
      identityModel("BYTES", ["N", 4]),
      3,
      "unable to load model 'M', configuration expects datatype TYPE_FP32 for input 'x', model provides TYPE_BYTES",
    ],
    [
      `max_batch_size: 4 ${X(FP32("4, 1"))}${Y(FP32("4"))}`,
      square,
      3,
      "model 'M', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 3 " +
        "dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making " +
        "complete shape [-1,4,1])",
    ],
    [
      `${X(FP32("4"))}${Y(FP32("-1, 4"))}`,
      square,
      3,
      "model 'M', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 1 " +
        "dimensions (shape [4])",
    ],
    [
      `${X(FP32("-1, 4"))}${Y(FP32("2, 4"))}`,
      square,
      5,
      "model 'M', tensor 'y': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 2 " +
        "dimensions (shape [2,4])",
    ],
    [
      `${X(`${FP32("4, 1")}\n reshape { shape: 5 }`)}${Y(FP32("-1, 4"))}`,
      square,
      4,
      "model 'M', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 1 " +
        "dimensions (shape [5])",
    ],
    [
      `max_batch_size: 4\n${SOUND}`,
      identityModel("FP32", [16, 16]),
      2,
      "model 'M', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the first " +
        "dimension must be -1; but shape expected by the model is [16,16]",
    ],
    [
      `max_batch_size: 4\n${SOUND}`,
      identityModel("FP32", []),
      2,
      "model 'M', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the first " +
        "dimension must be -1; but shape expected by the model is []",
    ],
    [
      `max_batch_size: 4 ${X(`${FP32("4")} allow_ragged_batch: true`)}${Y(FP32("4"))}`,
      square,
      3,
      "unable to load model 'M', configuration expects model provides input with shape [-1]  for ragged input 'x', model " +
        "provides [-1,4]",
    ],
    [
      `${X(`${FP32("4")} allow_ragged_batch: true optional: true`)}${Y(FP32("4"))}`,
      identityModel("FP32", [4]),
      3,
      "unable to load model 'M', configuration expects model provides input with shape [-1] for ragged input 'x', which is " +
        "not supported for optional input",
    ],
    [
      `max_batch_size: 4 ${X(`${FP32("4")}\n optional: true`)}${Y(FP32("4"))}`,
      square,
      4,
      "model 'M': input 'x' cannot be optional in a model that batches",
    ],
    [X(FP32("-1, 4")), square, undefined, "model 'M' lists no outputs, model provides y"],
    [
      `max_batch_size: 4 ${X("data_type: TYPE_BF16 dims: 4")}${Y("data_type: TYPE_BF16 dims: 4")}`,
      identityModel("BF16", ["N", 4]),
      3,
      "model 'M', input 'x' is bfloat16, which onnxruntime-node cannot pass",
    ],
  ];
  for (const [text, bytes, line, message] of cases) {
    it(`says: ${message}`, async () => {
      assert.deepEqual((await problemsOf(text, bytes))[0], { text: message, line });
    });
  }

  async function runtimeProblem(parts: Partial<ModelParts>): Promise<string | undefined> {
    const inputs = [tensorInfo("x", "FP32", [4])];
    const outputs = [tensorInfo("y", "FP32", [4])];
    return (await problemsOf(SOUND, onnxModel({ nodes: [], inputs, outputs, ...parts })))[0]?.text;
  }

  it("knows what the runtime runs", async () => {
    assert.equal(await runtimeProblem({ opsets: { "": 26 }, irVersion: 13 }), undefined);
    assert.match(
      (await runtimeProblem({ opsets: { "": 27 } })) ?? "",
      /^model 'M' is of opset 27, IR version 8;.*opsets 7 to 26/,
    );
    assert.match(
      (await runtimeProblem({ irVersion: 14 })) ?? "",
      /is of opset 17, IR version 14;.*IR versions 3 to 13/,
    );
    const extension = [node("BertTokenizer", ["x"], ["y"], [], "ai.onnx.contrib")];
    assert.match(
      (await runtimeProblem({ nodes: extension })) ?? "",
      /^model 'M' uses operators of onnxruntime-extensions/,
    );
    assert.equal(await runtimeProblem({ nodes: [node("Gelu", ["x"], ["y"], [], "com.microsoft")] }), undefined);
  });
});
