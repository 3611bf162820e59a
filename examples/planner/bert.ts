/**
 * BERT-shaped models with random weights, made on the spot: the cost of a real encoder, answers from a rule.
 *
 * Random weights answer nothing, so that a cascade over them would have no confidence to go by. As the HybridServe
 * prototype did with its giants, the encoder only costs: `logits = rule(tokens) + 0 * encoder(tokens)`. The rule reads
 * label, decoy and difficulty from the first three tokens; a model is right, and sure, as far as its skill exceeds the
 * difficulty.
 */
import { seededRandom } from "../../planner/cascade/random.ts";
import {
  floatTensor,
  intAttribute,
  intsAttribute,
  node,
  onnxModel,
  tensor,
  tensorInfo,
} from "../../test/support/onnx-writer.ts";

/** A public BERT shape (google-research/bert). */
export interface BertShape {
  readonly name: string;
  readonly layers: number;
  readonly width: number;
  /** Rows of difficulty below this, of 0 to 99, are answered right. */
  readonly skill: number;
}

/** Shapes of google-research/bert by name. */
export const BERT_SIZES = {
  tiny: { layers: 2, width: 128 },
  mini: { layers: 4, width: 256 },
  medium: { layers: 8, width: 512 },
  base: { layers: 12, width: 768 },
  large: { layers: 24, width: 1024 },
} as const;

export const CLASSES = 10;
/** Tokens of a row. */
export const SEQUENCE = 32;
const VOCABULARY = 30_522;
const HEAD_WIDTH = 64;

/** Parameters of the encoder and its embeddings. */
export function parameterCount({ layers, width }: BertShape): number {
  return (VOCABULARY + SEQUENCE) * width + layers * (12 * width * width + 13 * width);
}

/** The bytes of an ONNX file; the same shape and seed give the same bytes. */
export function bertModel(shape: BertShape, seed: number): Buffer {
  const graph = new GraphBuilder(seed);
  const { width } = shape;
  graph.weights("word_embeddings", [VOCABULARY, width], 0.02);
  graph.weights("position_embeddings", [SEQUENCE, width], 0.02);
  graph.add("Gather", ["word_embeddings", "tokens"], "words");
  graph.add("Add", ["words", "position_embeddings"], "embedded");
  let x = graph.normalised("embeddings", "embedded", width);
  for (let layer = 0; layer < shape.layers; layer++) x = encoderBlock(graph, `layer${layer}`, x, width);
  graph.add("ReduceMean", [x], "pooled", [intsAttribute("axes", [1]), intAttribute("keepdims", 0)]);
  graph.weights("head", [width, CLASSES], 0.02);
  graph.add("MatMul", ["pooled", "head"], "encoded");
  graph.scalar("nothing", 0);
  graph.add("Mul", ["encoded", "nothing"], "cost");
  graph.add("Add", [rule(graph, shape.skill), "cost"], "logits");
  return onnxModel({
    nodes: graph.nodes,
    inputs: [tensorInfo("tokens", "INT64", ["N", SEQUENCE])],
    outputs: [tensorInfo("logits", "FP32", ["N", CLASSES])],
    initializers: graph.initializers,
  });
}

/** One transformer block as BERT has it: attention and feed-forward network, normalised after each. */
function encoderBlock(graph: GraphBuilder, name: string, x: string, width: number): string {
  const heads = width / HEAD_WIDTH;
  graph.integers(`${name}.split`, [0, 0, heads, HEAD_WIDTH]);
  graph.integers(`${name}.join`, [0, 0, width]);
  const headsOf = (part: string, axes: readonly number[]) => {
    const projected = graph.dense(`${name}.${part}`, x, width, width);
    graph.add("Reshape", [projected, `${name}.split`], `${projected}.split`);
    return graph.add("Transpose", [`${projected}.split`], `${projected}.heads`, [intsAttribute("perm", axes)]);
  };
  const query = headsOf("query", [0, 2, 1, 3]);
  const key = headsOf("key", [0, 2, 3, 1]);
  const value = headsOf("value", [0, 2, 1, 3]);
  graph.scalar(`${name}.scale`, 1 / Math.sqrt(HEAD_WIDTH));
  graph.add("MatMul", [query, key], `${name}.scores`);
  graph.add("Mul", [`${name}.scores`, `${name}.scale`], `${name}.scaled`);
  graph.add("Softmax", [`${name}.scaled`], `${name}.attention`, [intAttribute("axis", -1)]);
  graph.add("MatMul", [`${name}.attention`, value], `${name}.context`);
  graph.add("Transpose", [`${name}.context`], `${name}.rows`, [intsAttribute("perm", [0, 2, 1, 3])]);
  graph.add("Reshape", [`${name}.rows`, `${name}.join`], `${name}.joined`);
  const attended = graph.dense(`${name}.output`, `${name}.joined`, width, width);
  graph.add("Add", [x, attended], `${name}.residual`);
  const middle = graph.normalised(`${name}.attended`, `${name}.residual`, width);
  const widened = gelu(graph, name, graph.dense(`${name}.widen`, middle, width, 4 * width));
  const narrowed = graph.dense(`${name}.narrow`, widened, 4 * width, width);
  graph.add("Add", [middle, narrowed], `${name}.sum`);
  return graph.normalised(`${name}.out`, `${name}.sum`, width);
}

/** 0.5 x (1 + erf(x / sqrt(2))). */
function gelu(graph: GraphBuilder, name: string, x: string): string {
  graph.scalar(`${name}.root2`, Math.SQRT2);
  graph.scalar(`${name}.one`, 1);
  graph.scalar(`${name}.half`, 0.5);
  graph.add("Div", [x, `${name}.root2`], `${name}.gelu.div`);
  graph.add("Erf", [`${name}.gelu.div`], `${name}.gelu.erf`);
  graph.add("Add", [`${name}.gelu.erf`, `${name}.one`], `${name}.gelu.add`);
  graph.add("Mul", [x, `${name}.gelu.add`], `${name}.gelu.mul`);
  return graph.add("Mul", [`${name}.gelu.mul`, `${name}.half`], `${name}.gelu`);
}

/**
 * Logits [N, CLASSES] from the first three tokens (label, decoy, difficulty): the decoy's logit is 2, the label's rises
 * from 0 to 8 as the skill exceeds the difficulty and passes 2 where they are equal.
 */
function rule(graph: GraphBuilder, skill: number): string {
  const column = (name: string, index: number) => {
    graph.integers(`${name}.index`, [index]);
    graph.add("Gather", ["tokens", `${name}.index`], `${name}.column`, [intAttribute("axis", 1)]);
    return `${name}.column`;
  };
  graph.integers("classes", [CLASSES]);
  graph.floats("off_on", [0, 1]);
  graph.integers("second_axis", [1]);
  const oneHot = (name: string, index: number) => {
    graph.add("Squeeze", [column(name, index), "second_axis"], `${name}.class`);
    return graph.add("OneHot", [`${name}.class`, "classes", "off_on"], `${name}.onehot`);
  };
  const label = oneHot("label", 0);
  const decoy = oneHot("decoy", 1);
  graph.add("Cast", [column("difficulty", 2)], "difficulty", [intAttribute("to", 1)]);
  graph.scalar("skill_and_two", skill + 10);
  graph.scalar("steepness", 0.2);
  graph.scalar("least", 0);
  graph.scalar("most", 8);
  graph.scalar("decoy_logit", 2);
  graph.add("Sub", ["skill_and_two", "difficulty"], "ease");
  graph.add("Mul", ["ease", "steepness"], "strength");
  graph.add("Clip", ["strength", "least", "most"], "label_logit");
  graph.add("Mul", [label, "label_logit"], "label_logits");
  graph.add("Mul", [decoy, "decoy_logit"], "decoy_logits");
  return graph.add("Add", ["label_logits", "decoy_logits"], "rule_logits");
}

/** Nodes and weights as they are added. */
class GraphBuilder {
  readonly nodes: Buffer[] = [];
  readonly initializers: Buffer[] = [];
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** Appends a node and names its output. */
  add(opType: string, inputs: readonly string[], output: string, attributes: readonly Uint8Array[] = []): string {
    this.nodes.push(node(opType, inputs, [output], attributes));
    return output;
  }

  /** x W + b over the last dimension. */
  dense(name: string, x: string, inputs: number, outputs: number): string {
    this.weights(`${name}.weight`, [inputs, outputs], 1 / Math.sqrt(inputs));
    this.weights(`${name}.bias`, [outputs], 0.02);
    this.add("MatMul", [x, `${name}.weight`], `${name}.product`);
    return this.add("Add", [`${name}.product`, `${name}.bias`], name);
  }

  normalised(name: string, x: string, width: number): string {
    this.floats(`${name}.gain`, Array<number>(width).fill(1));
    this.floats(`${name}.shift`, Array<number>(width).fill(0));
    return this.add("LayerNormalization", [x, `${name}.gain`, `${name}.shift`], name, [intAttribute("axis", -1)]);
  }

  /** Uniform random weights with this deviation. */
  weights(name: string, dims: readonly number[], deviation: number): void {
    const values = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
    const width = deviation * Math.sqrt(12);
    for (let i = 0; i < values.length; i++) values[i] = (this.#random() - 0.5) * width;
    this.initializers.push(tensor(name, "FP32", dims, new Uint8Array(values.buffer)));
  }

  floats(name: string, values: readonly number[]): void {
    this.initializers.push(floatTensor(name, [values.length], values));
  }

  scalar(name: string, value: number): void {
    this.initializers.push(floatTensor(name, [], [value]));
  }

  integers(name: string, values: readonly number[]): void {
    const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.initializers.push(tensor(name, "INT64", [values.length], data));
  }
}
