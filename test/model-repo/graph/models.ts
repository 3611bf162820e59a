/** Small models with what real exports have: blocks, shape arithmetic, constants as nodes, tied weights, bodies. */
import { seededRandom } from "../../../planner/cascade/random.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import {
  field,
  floatTensor,
  intAttribute,
  intsAttribute,
  node,
  onnxModel,
  tensor,
  tensorAttribute,
  tensorInfo,
} from "../../support/onnx-writer.ts";

export const WIDTH = 16;
const VOCABULARY = 50;
const random = seededRandom(3);

export function randomFloats(count: number): number[] {
  return Array.from({ length: count }, () => Math.fround(random() - 0.5));
}

export function int64s(name: string, values: readonly number[], dims: readonly number[] = [values.length]): Buffer {
  return tensor(name, "INT64", dims, new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer));
}

export function weight(name: string, ...dims: number[]): Buffer {
  return floatTensor(name, dims, randomFloats(dims.reduce((a, b) => a * b, 1)));
}

/** A Constant node. */
export function constant(name: string, value: Uint8Array): Buffer {
  return node("Constant", [], [name], [tensorAttribute("value", value)]);
}

/** Token ids `ids` [N, T] and `mask` [N, T] for a run of 2 x 5. */
export function tokens(): Tensor[] {
  const ids = BigInt64Array.from({ length: 10 }, (_, i) => BigInt((i * 7) % VOCABULARY));
  return [
    { name: "ids", datatype: "INT64", shape: [2, 5], data: new Uint8Array(ids.buffer) },
    { name: "mask", datatype: "FP32", shape: [2, 5], data: new Uint8Array(new Float32Array(10).fill(1).buffer) },
  ];
}

/**
 * A transformer encoder: attention with shapes computed from the input, LayerNormalization in its parts, GELU by Erf.
 * The table of embeddings is the head's weight too, transposed by a constant node; half of the weights are Constant
 * nodes; the mask, an input, is used in every block and at the end.
 */
export function encoder(blocks: number): Buffer {
  const initializers = [weight("table", VOCABULARY, WIDTH), int64s("last", [-1]), int64s("axis1", [1])];
  const nodes = [
    node("Shape", ["ids"], ["shape"]),
    constant("heads", int64s("", [4, WIDTH / 4])),
    node("Concat", ["shape", "heads"], ["split"], [intAttribute("axis", 0)]),
    constant("width", int64s("", [WIDTH])),
    node("Concat", ["shape", "width"], ["joined"], [intAttribute("axis", 0)]),
    node("Unsqueeze", ["mask", "axis12"], ["mask4"]),
    constant("one", floatTensor("", [], [1])),
    constant("far", floatTensor("", [], [-1000])),
    node("Sub", ["one", "mask4"], ["hidden"]),
    node("Mul", ["hidden", "far"], ["bias"]),
    node("Gather", ["table", "ids"], ["x0"]),
  ];
  initializers.push(int64s("axis12", [1, 2]));
  for (let i = 0; i < blocks; i++) nodes.push(...block(i, initializers));
  nodes.push(
    node("Transpose", ["table"], ["head"], [intsAttribute("perm", [1, 0])]),
    node("MatMul", [`x${blocks}`, "head"], ["logits"]),
    node("Unsqueeze", ["mask", "last"], ["mask3"]),
    node("Mul", ["logits", "mask3"], ["masked"]),
    node("ReduceSum", ["masked", "axis1"], ["y"], [intAttribute("keepdims", 0)]),
  );
  return onnxModel({
    nodes,
    initializers,
    inputs: [tensorInfo("ids", "INT64", ["N", "T"]), tensorInfo("mask", "FP32", ["N", "T"])],
    outputs: [tensorInfo("y", "FP32", ["N", VOCABULARY])],
  });
}

function block(i: number, initializers: Buffer[]): Buffer[] {
  const name = (part: string) => `b${i}.${part}`;
  const nodes: Buffer[] = [];
  const add = (op: string, inputs: string[], part: string, attributes: Buffer[] = []) => {
    nodes.push(node(op, inputs, [name(part)], attributes));
    return name(part);
  };
  const weights = (part: string, ...dims: number[]) => {
    if (i % 2 === 0) initializers.push(weight(name(part), ...dims));
    else nodes.push(constant(name(part), weight("", ...dims)));
    return name(part);
  };
  const norm = (input: string, part: string) => {
    const axes = [intsAttribute("axes", [-1])];
    const mean = add("ReduceMean", [input], `${part}.mean`, axes);
    const centred = add("Sub", [input, mean], `${part}.centred`);
    const squared = add("Mul", [centred, centred], `${part}.squared`);
    const variance = add("ReduceMean", [squared], `${part}.variance`, axes);
    const deviation = add("Sqrt", [add("Add", [variance, "one"], `${part}.shifted`)], `${part}.deviation`);
    const scaled = add("Div", [centred, deviation], `${part}.scaled`);
    return add("Mul", [scaled, weights(`${part}.gain`, WIDTH)], `${part}.out`);
  };
  const heads = (input: string, part: string, perm: number[]) => {
    const projected = add("MatMul", [input, weights(`${part}.w`, WIDTH, WIDTH)], `${part}.projected`);
    const reshaped = add("Reshape", [projected, "split"], `${part}.reshaped`);
    return add("Transpose", [reshaped], `${part}.heads`, [intsAttribute("perm", perm)]);
  };
  const normed = norm(`x${i}`, "norm1");
  const scores = add("MatMul", [heads(normed, "q", [0, 2, 1, 3]), heads(normed, "k", [0, 2, 3, 1])], "scores");
  const attention = add("Softmax", [add("Add", [scores, "bias"], "biased")], "attention", [intAttribute("axis", -1)]);
  const mixed = add("MatMul", [attention, heads(normed, "v", [0, 2, 1, 3])], "mixed");
  const back = add("Transpose", [mixed], "back", [intsAttribute("perm", [0, 2, 1, 3])]);
  const attended = add("Add", [`x${i}`, add("Reshape", [back, "joined"], "joined")], "attended");
  const grown = add("MatMul", [norm(attended, "norm2"), weights("w1", WIDTH, 4 * WIDTH)], "grown");
  const gelu = add("Mul", [grown, add("Add", [add("Erf", [grown], "erf"), "one"], "half")], "gelu");
  const shrunk = add("MatMul", [gelu, weights("w2", 4 * WIDTH, WIDTH)], "shrunk");
  nodes.push(node("Add", [attended, shrunk], [`x${i + 1}`]));
  return nodes;
}

/** One row of WIDTH numbers as `x`. */
export function row(): Tensor[] {
  const data = Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(i));
  return [{ name: "x", datatype: "FP32", shape: [1, WIDTH], data: new Uint8Array(data.buffer) }];
}

/** A GraphProto as an attribute's body, inputs and outputs included. */
export function body(
  name: string,
  nodes: readonly Uint8Array[],
  inputs: readonly Uint8Array[],
  outputs: readonly Uint8Array[],
): Buffer {
  const graph = Buffer.concat([
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, name),
    ...inputs.map((bytes) => field(11, bytes)),
    ...outputs.map((bytes) => field(12, bytes)),
  ]);
  return Buffer.concat([field(1, name), field(6, graph), field(20, 5)]);
}

/**
 * Control flow and a local function: layer, If (its branches capture the layer's result and a weight), layer, Loop (its
 * body captures the first layer's result), a function of this file, layer.
 */
export function controlFlow(): Buffer {
  const wide = [1, WIDTH];
  const layer = (from: string, to: string, w: string) => [
    node("MatMul", [from, w], [`${to}.product`]),
    node("Tanh", [`${to}.product`], [to]),
  ];
  const branch = (name: string, op: string) =>
    body(name, [node(op, ["a", "captured"], [`${name}.out`])], [], [tensorInfo(`${name}.out`, "FP32", wide)]);
  const loopBody = body(
    "body",
    [node("Add", ["carried", "a"], ["carried.out"]), node("Identity", ["go"], ["go.out"])],
    [tensorInfo("i", "INT64", []), tensorInfo("go", "BOOL", []), tensorInfo("carried", "FP32", wide)],
    [tensorInfo("go.out", "BOOL", []), tensorInfo("carried.out", "FP32", wide)],
  );
  const localFunction = Buffer.concat([
    field(1, "Swish"),
    field(4, "input"),
    field(5, "output"),
    field(7, node("Sigmoid", ["input"], ["gate"])),
    field(7, node("Mul", ["input", "gate"], ["output"])),
    field(9, Buffer.concat([field(1, ""), field(2, 17)])),
    field(10, "local"),
  ]);
  return onnxModel({
    nodes: [
      ...layer("x", "a", "w1"),
      node("ReduceSum", ["a"], ["sum"], [intAttribute("keepdims", 0)]),
      node("Greater", ["sum", "zero"], ["positive"]),
      node("If", ["positive"], ["b"], [branch("then_branch", "Add"), branch("else_branch", "Sub")]),
      ...layer("b", "c", "w2"),
      node("Loop", ["three", "", "c"], ["d"], [loopBody]),
      node("Swish", ["d"], ["e"], [], "local"),
      ...layer("e", "y", "w1"),
    ],
    initializers: [
      weight("w1", WIDTH, WIDTH),
      weight("w2", WIDTH, WIDTH),
      weight("captured", 1, WIDTH),
      floatTensor("zero", [], [0]),
      int64s("three", [3], []),
    ],
    inputs: [tensorInfo("x", "FP32", wide)],
    outputs: [tensorInfo("y", "FP32", wide)],
    opsets: { "": 17, local: 1 },
    extraModelFields: [field(25, localFunction)],
  });
}

/** All work inside one If, as silero's voice detector is. */
export function oneIf(): Buffer {
  const branch = (name: string) =>
    body(
      name,
      [node("Tanh", ["x"], [`${name}.t`]), node("Exp", [`${name}.t`], [`${name}.out`])],
      [],
      [tensorInfo(`${name}.out`, "FP32", [1, WIDTH])],
    );
  return onnxModel({
    nodes: [node("If", ["flag"], ["y"], [branch("then_branch"), branch("else_branch")])],
    inputs: [tensorInfo("x", "FP32", [1, WIDTH]), tensorInfo("flag", "BOOL", [])],
    outputs: [tensorInfo("y", "FP32", [1, WIDTH])],
  });
}
