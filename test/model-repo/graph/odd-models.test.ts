/**
 * Models that a careless cut breaks, each cut and run by the real runtime against the whole model. Every job about a
 * graph is a process of its own, so these tests take seconds.
 */
import assert from "node:assert/strict";
import { open, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { it } from "node:test";
import { readGraph } from "../../../proto/onnx/read-graph.ts";
import { readModel } from "../../../proto/onnx/read-model.ts";
import {
  externalTensor,
  field,
  floatTensor,
  intAttribute,
  intsAttribute,
  node,
  onnxModel,
  tensorInfo,
} from "../../support/onnx-writer.ts";
import { constant, encoder, int64s, randomFloats, row, tokens, WIDTH, weight } from "./models.ts";
import { type CutModel, compareStaged, cutModel, evenCuts } from "./staged.ts";

const WIDE = [1, WIDTH];
const X = [tensorInfo("x", "FP32", WIDE)];
const Y = [tensorInfo("y", "FP32", WIDE)];

/** Cuts everywhere and compares. */
async function cutEverywhere(model: CutModel) {
  const compared = await compareStaged(
    model,
    model.candidates.candidates.map((candidate) => candidate.position),
  );
  assert.ok(compared.stages.length > 1);
  for (const output of compared.outputs)
    assert.deepEqual(output, { name: output.name, isBitIdentical: true, maxAbs: 0 });
  return compared;
}

it("external data stay where they are, beyond 2 GiB too, and stage files stay small", async (context) => {
  const offset = 2 ** 31 + 4096;
  const length = WIDTH * WIDTH * 4;
  const weights = Float32Array.from(randomFloats(2 * WIDTH * WIDTH));
  const external = (name: string, index: number) =>
    externalTensor(name, "FP32", [WIDTH, WIDTH], { location: "weights.bin", offset: offset + index * length, length });
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Tanh", ["a"], ["b"]),
        node("MatMul", ["b", "w1"], ["c"]),
        node("Add", ["c", "x"], ["y"]),
      ],
      initializers: [external("w0", 0), external("w1", 1)],
      inputs: X,
      outputs: Y,
    }),
    row(),
    {
      prepare: async (folder) => {
        // A sparse file: nothing but the weights takes room.
        const file = await open(join(folder, "weights.bin"), "w");
        await file.write(new Uint8Array(weights.buffer), 0, weights.byteLength, offset);
        await file.close();
      },
    },
  );
  const { stages, stagePaths } = await cutEverywhere(model);
  assert.ok(stages.every((stage) => stage.hasExternalData));
  assert.ok((stages[0]?.weightBytes ?? 0) > length, "external weights count");
  for (const path of stagePaths) assert.ok((await stat(path)).size < 500);
  const references = (await Promise.all(stagePaths.map(readModel))).flatMap((stage) => stage.externalData);
  assert.deepEqual(
    references.map((data) => [data.tensor, data.location, data.offset, data.length]),
    [
      ["w0", "weights.bin", offset, length],
      ["w1", "weights.bin", offset + length, length],
    ],
  );
});

it("an optimised graph may keep its weights in one file that all stages refer to", async (context) => {
  const model = await cutModel(context, encoder(2), tokens(), { optimise: "extended", weightsFile: "weights.bin" });
  const compared = await compareStaged(model, evenCuts(model, 3));
  assert.deepEqual(compared.outputs, [{ name: "y", isBitIdentical: true, maxAbs: 0 }]);
  assert.ok(compared.stages.every((stage) => stage.hasExternalData));
  const { size } = await stat(join(dirname(model.modelPath), "weights.bin"));
  const fileSizes = await Promise.all(compared.stagePaths.map(async (path) => (await stat(path)).size));
  assert.ok(size > 20_000);
  assert.ok(Math.max(...fileSizes) < 10_000, `${fileSizes}`);
});

it("weights that two stages use are in both files and count in both", async (context) => {
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [
        node("MatMul", ["x", "tied"], ["a"]),
        node("Tanh", ["a"], ["b"]),
        node("Transpose", ["tied"], ["turned"], [intsAttribute("perm", [1, 0])]),
        node("MatMul", ["b", "turned"], ["y"]),
      ],
      initializers: [weight("tied", WIDTH, WIDTH)],
      inputs: X,
      outputs: Y,
    }),
    row(),
  );
  const { stages, stagePaths } = await cutEverywhere(model);
  const bytes = WIDTH * WIDTH * 4;
  assert.deepEqual(
    stages.map((stage) => stage.weightBytes > bytes),
    [true, false, true],
  );
  const names = (await Promise.all(stagePaths.map(readModel))).map((stage) =>
    stage.initializers.map((initializer) => initializer.name),
  );
  assert.deepEqual(names, [["tied"], [], ["tied"]]);
});

it("a sparse initializer goes where it is used", async (context) => {
  const sparse = Buffer.concat([
    field(1, floatTensor("sparse", [2], [2, 3])),
    field(2, int64s("", [0, 5])),
    field(3, 1),
    field(3, WIDTH),
  ]);
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [node("Tanh", ["x"], ["a"]), node("Add", ["a", "sparse"], ["y"])],
      inputs: X,
      outputs: Y,
      extraGraphFields: [field(15, sparse)],
    }),
    row(),
  );
  const { stages } = await cutEverywhere(model);
  const weights = stages.map((stage) => stage.weightBytes);
  assert.ok((weights[1] ?? 0) > (weights[0] ?? 0) + 20, `${weights}`);
});

it("a tensor of unknown rank gets the rank of a run, with open sizes", async (context) => {
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [
        node("Reshape", ["x", "to"], ["reshaped"]),
        node("Tanh", ["reshaped"], ["bent"]),
        node("Transpose", ["bent"], ["turned"], [intsAttribute("perm", [1, 0, 2])]),
        node("ReduceMax", ["turned"], ["largest"], [intAttribute("keepdims", 0)]),
        node("Mul", ["turned", "largest"], ["y"]),
      ],
      inputs: [...X, tensorInfo("to", "INT64", ["K"])],
      outputs: [tensorInfo("y", "FP32", [undefined, undefined, undefined])],
    }),
    [...row(), { name: "to", datatype: "INT64", shape: [3], data: int64Bytes([2, 4, 2]) }],
  );
  await cutEverywhere(model);
  const { types, bytes } = model.types;
  assert.deepEqual(types.get("bent"), { datatype: "FP32", shape: [null, null, null] });
  assert.deepEqual(types.get("largest"), { datatype: "FP32", shape: [] }, "a scalar stays one");
  assert.equal(bytes.get("bent"), WIDTH * 4);
});

it("tensors that a session cannot hand out cross no cut", async (context) => {
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [
        node("Tanh", ["x"], ["a"]),
        node("Cast", ["a"], ["coarse"], [intAttribute("to", 16)]),
        node("Cast", ["coarse"], ["b"], [intAttribute("to", 1)]),
        node("SequenceConstruct", ["b", "b"], ["pair"]),
        node("ConcatFromSequence", ["pair"], ["c"], [intAttribute("axis", 0)]),
        node("ReduceSum", ["c", "axis"], ["y"], [intAttribute("keepdims", 1)]),
      ],
      initializers: [int64s("axis", [0])],
      inputs: X,
      outputs: Y,
    }),
    row(),
  );
  assert.deepEqual([...model.types.unpassable].sort(), ["coarse", "pair"]);
  assert.deepEqual(
    model.candidates.candidates.map((candidate) => candidate.tensors),
    [["a"], ["b"], ["c"]],
  );
  await cutEverywhere(model);
});

it("initializers among the inputs of IR 3, inputs and constants that are outputs, an input used late", async (context) => {
  const model = await cutModel(
    context,
    onnxModel({
      irVersion: 3,
      opsets: { "": 9 },
      nodes: [
        node("MatMul", ["x", "w"], ["a"]),
        node("Tanh", ["a"], ["b"]),
        constant("two", floatTensor("", [1], [2])),
        node("Mul", ["b", "two"], ["c"]),
        node("Add", ["c", "x"], ["y"]),
      ],
      initializers: [weight("w", WIDTH, WIDTH)],
      inputs: [...X, tensorInfo("w", "FP32", [WIDTH, WIDTH])],
      outputs: [...Y, tensorInfo("b", "FP32", WIDE), tensorInfo("two", "FP32", [1]), tensorInfo("x", "FP32", WIDE)],
    }),
    row(),
  );
  const { stages, stagePaths } = await cutEverywhere(model);
  const listed = readGraph(await readFile(stagePaths[0] ?? ""), "stage").inputs.map((input) => input.name);
  assert.deepEqual(listed, ["x", "w"], "listed as the original lists it");
  const [first, second] = stages;
  assert.deepEqual(first?.inputs, [{ name: "x", from: "request" }]);
  assert.deepEqual(
    second?.outputs.map(({ name, isAnswer, isHandedOn }) => [name, isAnswer, isHandedOn]),
    [["b", true, true]],
  );
  assert.deepEqual(stages.at(-1)?.inputs, [
    { name: "c", from: 2, type: { datatype: "FP32", shape: WIDE } },
    { name: "x", from: "request" },
  ]);
  assert.deepEqual(
    stages.at(-1)?.outputs.map((output) => output.name),
    ["y", "two", "x"],
  );
});

it("texts and whole numbers cross cuts; a tensor may skip stages", async (context) => {
  const model = await cutModel(
    context,
    onnxModel({
      nodes: [
        node("Cast", ["x"], ["numbers"], [intAttribute("to", 7)]),
        node("Cast", ["numbers"], ["words"], [intAttribute("to", 8)]),
        node("Cast", ["words"], ["floats"], [intAttribute("to", 1)]),
        node("Cast", ["numbers"], ["again"], [intAttribute("to", 1)]),
        node("Add", ["floats", "again"], ["y"]),
      ],
      inputs: X,
      outputs: Y,
    }),
    row(),
  );
  const { stages } = await cutEverywhere(model);
  assert.deepEqual(
    stages[3]?.inputs.map((input) => [input.name, input.from]),
    [["numbers", 0]],
  );
});

it("what nobody knows the meaning of is in the stages as it was", async (context) => {
  const odd = (text: string) => field(500, text);
  const parts = [node("Tanh", ["x"], ["a"]), node("Mul", ["a", "w"], ["y"])];
  const model = await cutModel(
    context,
    onnxModel({
      nodes: parts.map((bytes, i) => Buffer.concat([bytes, odd(`odd node ${i}`)])),
      initializers: [Buffer.concat([weight("w", WIDTH), odd("odd weight")])],
      inputs: [Buffer.concat([tensorInfo("x", "FP32", WIDE), odd("odd input")])],
      outputs: Y,
      extraGraphFields: [
        field(16, Buffer.concat([field(1, "key of graph"), field(2, "value")])),
        odd("odd graph"),
        field(
          14,
          Buffer.concat([field(1, "a"), field(2, Buffer.concat([field(1, "SCALE_TENSOR"), field(2, "scale")]))]),
        ),
        field(5, floatTensor("scale", [1], [0.5])),
      ],
      extraModelFields: [field(14, Buffer.concat([field(1, "key of model"), field(2, "value")])), odd("odd model")],
    }),
    row(),
  );
  const { stagePaths } = await cutEverywhere(model);
  const texts = [
    "odd node 0",
    "odd node 1",
    "odd weight",
    "odd input",
    "key of graph",
    "odd graph",
    "SCALE_TENSOR",
    "key of model",
    "odd model",
  ];
  const found = await Promise.all(
    stagePaths.map(async (path) => {
      const bytes = await readFile(path);
      return texts.filter((text) => bytes.includes(text));
    }),
  );
  const everywhere = ["key of graph", "odd graph", "SCALE_TENSOR", "key of model", "odd model"];
  assert.deepEqual(found, [
    ["odd node 0", "odd input", ...everywhere],
    ["odd node 1", "odd weight", ...everywhere],
  ]);
  const initializers = (await Promise.all(stagePaths.map(readModel))).map((stage) =>
    stage.initializers.map((initializer) => initializer.name),
  );
  assert.deepEqual(initializers, [["scale"], ["w", "scale"]], "what the annotation of a tensor names is with it");
});

function int64Bytes(values: readonly number[]): Uint8Array {
  return new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer);
}
