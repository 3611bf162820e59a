/** Constants, order, lifetimes and candidates of graphs, and stage files without a runtime. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cutCandidates } from "../../../planner/partition/cut-candidates.ts";
import { nodeWeights, toCutGraph } from "../../../planner/partition/cut-graph.ts";
import { stageGraphs } from "../../../planner/partition/stage-graph.ts";
import { readGraph } from "../../../proto/onnx/read-graph.ts";
import { joinChunks } from "../../../proto/onnx/write-graph.ts";
import {
  field,
  floatTensor,
  graphAttribute,
  type ModelParts,
  node,
  onnxModel,
  tensorAttribute,
  tensorInfo,
} from "../../support/onnx-writer.ts";

const INPUTS = [tensorInfo("x", "FP32", ["N", 4])];
const OUTPUTS = [tensorInfo("y", "FP32", ["N", 4])];

function graphOf(nodes: readonly Uint8Array[], parts: Partial<ModelParts> = {}) {
  return readGraph(onnxModel({ nodes, inputs: INPUTS, outputs: OUTPUTS, ...parts }), "m.onnx");
}

function cutOf(nodes: readonly Uint8Array[], parts: Partial<ModelParts> = {}) {
  return toCutGraph(graphOf(nodes, parts));
}

const constant = (name: string) =>
  node("Constant", [], [name], [tensorAttribute("value", floatTensor("", [2], [1, 2]))]);

describe("toCutGraph", () => {
  it("keeps nodes that depend on the request and takes what they need of constants along", () => {
    const cut = cutOf(
      [
        constant("c"),
        node("Add", ["c", "w"], ["folded"]),
        node("Add", ["x", "folded"], ["a"]),
        node("Mul", ["a", "unneeded"], ["dead"]),
        node("Relu", ["a"], ["y"]),
      ],
      { initializers: [floatTensor("w", [2], [0, 0]), floatTensor("unneeded", [1], [0])] },
    );
    assert.deepEqual(
      cut.nodes.map(({ index, opType, reads, constants }) => ({ index, opType, reads, constants })),
      [
        { index: 2, opType: "Add", reads: ["x"], constants: [0, 2, 3] },
        { index: 4, opType: "Relu", reads: ["a"], constants: [] },
      ],
    );
    assert.deepEqual(
      cut.constants.map(({ kind, index }) => `${kind} ${index}`),
      ["initializer 0", "initializer 1", "node 0", "node 1"],
    );
    assert.deepEqual(cut.tensors, [{ name: "a", producer: 0, lastUse: 1 }]);
  });

  it("takes nothing for constant that may differ from run to run", () => {
    const random = node("RandomNormalLike", ["w"], ["r"]);
    const unknown = node("Anything", ["w"], ["u"], [], "somewhere");
    const branch = node("If", ["w"], ["b"], [graphAttribute("then_branch", [node("RandomNormal", [], ["o"])])]);
    const cut = cutOf([random, unknown, branch, node("Sum", ["x", "r", "u", "b"], ["y"])], {
      initializers: [floatTensor("w", [1], [0])],
    });
    assert.deepEqual(
      cut.nodes.map((each) => each.opType),
      ["RandomNormalLike", "Anything", "If", "Sum"],
    );
  });

  it("takes a function of the file for one that may be random", () => {
    const cut = cutOf([node("F", ["w"], ["f"]), node("Add", ["x", "f"], ["y"])], {
      initializers: [floatTensor("w", [1], [0])],
      extraModelFields: [field(25, field(1, "F"))],
    });
    assert.equal(cut.nodes.length, 2);
  });

  it("counts what bodies capture as inputs", () => {
    const cut = cutOf([
      node("Relu", ["x"], ["a"]),
      node("Relu", ["a"], ["b"]),
      node("If", ["b"], ["y"], [graphAttribute("then_branch", [node("Relu", ["a"], ["o"])])]),
    ]);
    assert.deepEqual(cut.tensors[0], { name: "a", producer: 0, lastUse: 2 });
  });

  it("refuses nodes out of order, names that nobody or two compute", () => {
    const refused = (nodes: readonly Uint8Array[]) => assert.throws.bind(undefined, () => cutOf(nodes));
    refused([node("Relu", ["a"], ["y"]), node("Relu", ["x"], ["a"])])({
      code: "INVALID_ARGUMENT",
      message:
        "'m.onnx' cannot be cut: node 'Relu_y' (Relu) reads 'a', which nothing before it computes; check the export",
    });
    refused([node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])])(/'y' is defined twice/);
    refused([node("Split", ["x"], ["y", "y"])])(/'y' is defined twice/);
    refused([node("Relu", ["x"], ["a"])])(/nothing computes its output 'y'/);
  });
});

describe("weights", () => {
  it("are counted by node, those of several nodes apart", () => {
    const w = floatTensor("w", [4], [1, 2, 3, 4]);
    const tied = floatTensor("tied", [2], [1, 2]);
    const nodes = [
      node("Add", ["x", "tied"], ["a"]),
      node("Add", ["a", "w"], ["b"]),
      node("Add", ["b", "tied"], ["y"]),
    ];
    const { weightBytes, sharedWeights } = nodeWeights(cutOf(nodes, { initializers: [w, tied] }));
    const size = (bytes: Uint8Array, number: number) => field(number, bytes).byteLength;
    assert.deepEqual(
      weightBytes,
      nodes.map((bytes, i) => size(bytes, 1) + (i === 1 ? size(w, 5) : 0)),
    );
    assert.deepEqual(sharedWeights, [{ bytes: size(tied, 5), nodes: [0, 2] }]);
  });
});

describe("cutCandidates", () => {
  /** x -> a, b -> c (skips over d) -> y: 1, 2, 2, 2 tensors cross. */
  const NODES = [
    node("Relu", ["x"], ["a"]),
    node("Relu", ["a"], ["b"]),
    node("Relu", ["b"], ["c"]),
    node("Add", ["a", "c"], ["d"]),
    node("Add", ["d", "x"], ["y"]),
  ];
  const cut = cutOf(NODES);

  it("are the positions that few tensors cross; inputs of the model do not count", () => {
    const crossing = (maxLiveTensors: number) =>
      cutCandidates(cut, { maxLiveTensors }).candidates.map(({ position, tensors }) => `${position} ${tensors}`);
    assert.deepEqual(crossing(2), ["1 a", "2 a,b", "3 a,c", "4 d"]);
    assert.deepEqual(crossing(1), ["1 a", "4 d"]);
  });

  it("know their size where all tensors have one, and may be limited by it", () => {
    const tensorBytes = new Map([
      ["a", 10],
      ["b", 5],
      ["d", 30],
    ]);
    const sizes = (maxCutBytes: number) =>
      cutCandidates(cut, { tensorBytes, maxCutBytes }).candidates.map(({ position, bytes }) => [position, bytes]);
    assert.deepEqual(sizes(100), [
      [1, 10],
      [2, 15],
      [3, undefined],
      [4, 30],
    ]);
    assert.deepEqual(sizes(12), [
      [1, 10],
      [3, undefined],
    ]);
  });

  it("say why there are none", () => {
    const sizes = new Map([..."abcd"].map((name) => [name, 8]));
    const why = (limits: Parameters<typeof cutCandidates>[1], graph = cut) => cutCandidates(graph, limits).uncuttable;
    assert.equal(why({}), undefined);
    assert.equal(why({ maxLiveTensors: 0 }), "at least 1 tensors cross every cut; at most 0 may");
    assert.equal(why({ maxCutBytes: 7, tensorBytes: sizes }), "at least 8 bytes cross every narrow cut; at most 7 may");
    assert.equal(why({ unpassable: new Set("abcd") }), "4 narrow cuts cross tensors that a session cannot hand out");
    assert.equal(
      why({}, cutOf([node("Relu", ["x"], ["y"])])),
      "all its work is inside one node, 'Relu_y' (Relu), and nodes are not cut inside",
    );
    assert.equal(why({}, cutOf([constant("y")])), "the graph computes nothing from its inputs");
  });

  it("may lie where nothing crosses, between parts that have nothing to do with each other", () => {
    const apart = cutOf([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])], {
      outputs: [...OUTPUTS, tensorInfo("z", "FP32")],
    });
    assert.deepEqual(cutCandidates(apart).candidates, [{ position: 1, tensors: [], bytes: 0 }]);
  });
});

describe("stageGraphs", () => {
  it("wants the type of every tensor that crosses", () => {
    const graph = graphOf([node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"])]);
    assert.throws(() => stageGraphs(graph, toCutGraph(graph), [1], new Map()), {
      code: "FAILED_PRECONDITION",
      message: "'m.onnx': the type of 'a' is not known",
    });
  });

  it("value_info goes with the stage that computes the tensor, unless the tensor leaves it", () => {
    const nodes = [
      node("Relu", ["x"], ["a"]),
      node("Relu", ["a"], ["b"]),
      node("Relu", ["b"], ["c"]),
      node("Neg", ["c"], ["y"]),
    ];
    const extraGraphFields = [..."abc"].map((name) => field(13, tensorInfo(name, "FP32", ["N", 4])));
    const graph = graphOf(nodes, { extraGraphFields });
    const stages = stageGraphs(graph, toCutGraph(graph), [2], new Map([["b", { datatype: "FP32", shape: ["N", 4] }]]));
    const files = stages.map((stage) => readGraph(joinChunks(stage.chunks), "stage"));
    const named = files.map((file) =>
      [file.inputs, file.outputs, file.valueInfo].map((list) => list.map(({ name }) => name)),
    );
    assert.deepEqual(named, [
      [["x"], ["b"], ["a"]],
      [["b"], ["y"], ["c"]],
    ]);
  });

  it("one stage is the graph without what no output needs", () => {
    const nodes = [node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["dead"]), node("Neg", ["a"], ["y"])];
    const graph = graphOf(nodes);
    const [only] = stageGraphs(graph, toCutGraph(graph), [], new Map());
    const expected = graphOf(nodes.filter((_, i) => i !== 1));
    assert.deepEqual(
      readGraph(joinChunks(only?.chunks ?? []), "").nodes.map((each) => each.outputs),
      expected.nodes.map((each) => each.outputs),
    );
  });
});
