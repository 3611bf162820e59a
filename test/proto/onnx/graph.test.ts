/** The graph reader and writer on wire level, without a runtime. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readGraph } from "../../../proto/onnx/read-graph.ts";
import { readModelBytes } from "../../../proto/onnx/read-model.ts";
import {
  graphRanges,
  joinChunks,
  uniqueNodeNames,
  valueField,
  withNodeNames,
  withOutputs,
  writeModel,
} from "../../../proto/onnx/write-graph.ts";
import {
  externalTensor,
  field,
  floatTensor,
  graphAttribute,
  node,
  onnxModel,
  tensorAttribute,
  tensorInfo,
} from "../../support/onnx-writer.ts";

const X = [tensorInfo("x", "FP32", ["N", 4])];
const Y = [tensorInfo("y", "FP32", ["N", 4])];

describe("readGraph", () => {
  it("finds nodes, initializers and values with the bytes they are", () => {
    const add = node("Add", ["x", "w"], ["y"]);
    const w = floatTensor("w", [4], [1, 2, 3, 4]);
    const bytes = onnxModel({ nodes: [add], inputs: X, outputs: Y, initializers: [w] });
    const graph = readGraph(bytes, "m.onnx");
    const [first] = graph.nodes;
    assert.deepEqual([first?.opType, first?.inputs, first?.outputs, first?.hasBody], ["Add", ["x", "w"], ["y"], false]);
    assert.deepEqual(bytes.subarray(first?.range.start, first?.range.end), field(1, add));
    const [initializer] = graph.initializers;
    assert.equal(initializer?.dataBytes, field(5, w).byteLength);
    assert.deepEqual(
      [...graph.inputs, ...graph.outputs].map((value) => [value.name, value.elementType]),
      [
        ["x", 1],
        ["y", 1],
      ],
    );
    assert.equal(graph.hasExternalData, false);
  });

  it("sees what bodies use of the graphs around them, through every nesting", () => {
    const inner = graphAttribute("else_branch", [node("Add", ["deep", "local"], ["o"])]);
    const nodes = [node("Relu", ["near"], ["local"]), node("If", ["condition"], ["p"], [inner])];
    const bytes = onnxModel({
      nodes: [node("If", ["x"], ["y"], [graphAttribute("then_branch", nodes)])],
      inputs: X,
      outputs: Y,
    });
    const graph = readGraph(bytes, "m.onnx");
    assert.deepEqual(graph.nodes[0]?.captures, ["near", "condition", "deep"]);
    assert.equal(graph.nodes[0]?.hasBody, true);
    assert.deepEqual([...graph.bodyNodeNames].sort(), ["Add_o", "If_p", "Relu_local"]);
  });

  it("counts external data by its length, else by its shape; sees references in attributes", () => {
    const bytes = onnxModel({
      nodes: [
        node("Constant", [], ["c"], [tensorAttribute("value", externalTensor("", "FP32", [1], { location: "w" }))]),
      ],
      inputs: X,
      outputs: Y,
      initializers: [
        externalTensor("a", "FP32", [3, 5], { location: "w", length: 100 }),
        externalTensor("b", "FP16", [3, 5], { location: "w" }),
      ],
    });
    const graph = readGraph(bytes, "m.onnx");
    assert.deepEqual(
      graph.initializers.map((initializer) => initializer.dataBytes),
      [100, 30],
    );
    const constantOnly = onnxModel({
      nodes: [
        node("Constant", [], ["c"], [tensorAttribute("value", externalTensor("", "FP32", [1], { location: "w" }))]),
      ],
      inputs: X,
      outputs: Y,
    });
    assert.equal(readGraph(constantOnly, "m.onnx").hasExternalData, true);
  });

  it("names the functions of the file and the parameters of annotations", () => {
    const bytes = onnxModel({
      nodes: [],
      inputs: X,
      outputs: Y,
      extraGraphFields: [
        field(14, Buffer.concat([field(1, "x"), field(2, Buffer.concat([field(1, "K"), field(2, "s")]))])),
      ],
      extraModelFields: [field(25, Buffer.concat([field(1, "F"), field(10, "d")]))],
    });
    const graph = readGraph(bytes, "m.onnx");
    assert.deepEqual([...graph.functions], ["d::F"]);
    assert.deepEqual(
      graph.quantization.map(({ tensor, parameters }) => ({ tensor, parameters })),
      [{ tensor: "x", parameters: ["s"] }],
    );
  });

  it("refuses what is no model", () => {
    assert.throws(() => readGraph(field(1, 8), "m.onnx"), { code: "INVALID_ARGUMENT", message: /'m.onnx'.*no graph/ });
    const model = onnxModel({ nodes: [node("Relu", ["x"], ["y"])], inputs: X, outputs: Y });
    assert.throws(() => readGraph(model.subarray(0, model.byteLength - 20), "m.onnx"), /'m.onnx': a field is cut off/);
    let deep = graphAttribute("body", []);
    for (let i = 0; i < 120; i++) deep = graphAttribute("body", [node("If", ["x"], ["y"], [deep])]);
    const nested = onnxModel({ nodes: [node("If", ["x"], ["y"], [deep])], inputs: X, outputs: Y });
    assert.throws(() => readGraph(nested, "m.onnx"), /nested deeper than 100/);
  });
});

describe("writeModel", () => {
  const bytes = onnxModel({
    nodes: [node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"])],
    inputs: X,
    outputs: Y,
    initializers: [floatTensor("w", [1], [1])],
    extraGraphFields: [field(77, "unknown"), field(13, tensorInfo("a", "FP32", ["N", 4]))],
    extraModelFields: [field(88, "unknown too")],
  });

  it("writes all fields of a graph back to the same bytes, apart from the graph's place", () => {
    const graph = readGraph(bytes, "m.onnx");
    const written = joinChunks(writeModel(graph, graphRanges(graph)));
    assert.equal(written.byteLength, bytes.byteLength);
    const again = readGraph(written, "m.onnx");
    assert.deepEqual(joinChunks(writeModel(again, graphRanges(again))), written);
    for (const text of ["unknown", "unknown too", "hybridserve-test"]) assert.ok(written.includes(text));
  });

  it("keeps weights where they are: chunks are views on the file", () => {
    const graph = readGraph(bytes, "m.onnx");
    const chunks = writeModel(graph, graphRanges(graph));
    const own = chunks.filter((chunk) => chunk.buffer !== bytes.buffer);
    assert.ok(own.reduce((sum, chunk) => sum + chunk.byteLength, 0) < 10);
  });

  it("adds outputs by name, once", async () => {
    const model = await readModelBytes(joinChunks(withOutputs(readGraph(bytes, "m.onnx"), ["a", "y"])), "m.onnx");
    assert.deepEqual(
      model.outputs.map((output) => [output.name, output.kind]),
      [
        ["y", "tensor"],
        ["a", "unknown"],
      ],
    );
  });

  it("writes types with sizes, names of sizes, open sizes, scalars and unknown ranks", async () => {
    const graph = readGraph(bytes, "m.onnx");
    const input = (name: string, shape: readonly (number | string | null)[] | null) =>
      valueField(11, name, { datatype: "INT64", shape });
    const fields = [input("a", [3, "N", null, 2 ** 40]), input("b", []), input("c", null)];
    const model = await readModelBytes(joinChunks(writeModel(graph, fields)), "m.onnx");
    assert.deepEqual(
      model.inputs.map(({ name, datatype, shape, dimNames }) => ({ name, datatype, shape, dimNames })),
      [
        { name: "a", datatype: "INT64", shape: [3, -1, -1, 2 ** 40], dimNames: ["", "N", "", ""] },
        { name: "b", datatype: "INT64", shape: [], dimNames: [] },
        { name: "c", datatype: "INT64", shape: undefined, dimNames: [] },
      ],
    );
  });
});

describe("withNodeNames", () => {
  /** A node without a name, with a field that nobody knows. */
  const nameless = (input: string, output: string) =>
    Buffer.concat([field(1, input), field(2, output), field(4, "Relu"), field(99, "kept")]);
  const named = (input: string, output: string, name: string) =>
    Buffer.concat([field(1, input), field(2, output), field(3, name), field(4, "Relu")]);

  it("names the nameless, the second of two alike and the namesakes of nodes in bodies", () => {
    const bytes = onnxModel({
      nodes: [
        nameless("x", "a"),
        named("a", "b", "twice"),
        named("b", "c", "twice"),
        named("c", "d", "Relu_0"),
        node("If", ["d"], ["e"], [graphAttribute("then_branch", [named("d", "f", "inner")])]),
        named("e", "y", "inner"),
      ],
      inputs: X,
      outputs: Y,
    });
    const graph = readGraph(bytes, "m.onnx");
    const names = uniqueNodeNames(graph);
    assert.deepEqual(names, ["Relu_0_", "twice", "Relu_2", "Relu_0", "If_e", "Relu_5"]);
    const written = joinChunks(withNodeNames(graph));
    const again = readGraph(written, "m.onnx");
    assert.deepEqual(
      again.nodes.map((each) => each.name),
      names,
    );
    assert.deepEqual(
      again.nodes.map((each) => [each.inputs, each.outputs]),
      graph.nodes.map((each) => [each.inputs, each.outputs]),
    );
    assert.ok(written.includes("kept"));
  });

  it("leaves a file alone whose nodes all have names of their own", () => {
    const bytes = onnxModel({ nodes: [node("Relu", ["x"], ["y"])], inputs: X, outputs: Y });
    assert.deepEqual(joinChunks(withNodeNames(readGraph(bytes, "m.onnx"))), bytes);
  });
});
