/**
 * What a graph looks like to whoever cuts it: nodes that depend on the request in a row, constants apart, and how long
 * every tensor between two nodes lives. Source: planner.md 1.2.
 */
import { InferenceError } from "../../proto/errors.ts";
import { type GraphNode, type OnnxGraph, operatorName } from "../../proto/onnx/graph.ts";

export interface CutGraph {
  /** Nodes that depend on the request and that an output depends on, in file order. Position p lies before node p. */
  readonly nodes: readonly CutNode[];
  /** What a stage gets a copy of: initializers and the nodes that depend on nothing else. */
  readonly constants: readonly CutConstant[];
  /** What nodes hand to each other, by producer; outputs of the graph too, where a node reads them. */
  readonly tensors: readonly CutTensor[];
  /** Names of the inputs that a request brings. */
  readonly inputs: readonly string[];
  /** Names of the graph's outputs. */
  readonly outputs: readonly string[];
  /** Constants that are outputs of the graph as they are. */
  readonly constantOutputs: readonly number[];
}

export interface CutNode {
  /** Its place in `OnnxGraph.nodes`. */
  readonly index: number;
  readonly name: string;
  readonly opType: string;
  /** Inputs of the graph and results of other nodes that it needs; names that its bodies capture included. */
  readonly reads: readonly string[];
  /** Its results; "" left out. */
  readonly writes: readonly string[];
  /** Places in `CutGraph.constants` of all it needs, those that other constants need included; ascending. */
  readonly constants: readonly number[];
  /** Size of the node itself in the file: constants inside its bodies and attributes. */
  readonly ownBytes: number;
}

export interface CutConstant {
  readonly kind: "initializer" | "node";
  /** Its place in `OnnxGraph.initializers` or `OnnxGraph.nodes`. */
  readonly index: number;
  /** Size of its data as the file holds it or, for external data, as the other file does. */
  readonly bytes: number;
}

export interface CutTensor {
  readonly name: string;
  /** Position of the node that computes it. */
  readonly producer: number;
  /** Position of the last node that reads it, after the producer. */
  readonly lastUse: number;
}

/** Operators whose result differs from run to run although their inputs do not. */
const RANDOM_OPERATORS: ReadonlySet<string> = new Set([
  "Bernoulli",
  "BiasDropout",
  "BitmaskBiasDropout",
  "BitmaskDropout",
  "Dropout",
  "Multinomial",
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
  "Sampling",
]);

/** Domains whose operators are known to give the same for the same inputs, but for the ones above. */
const KNOWN_DOMAINS: ReadonlySet<string> = new Set(["", "ai.onnx.ml", "com.microsoft"]);

/** INVALID_ARGUMENT where nodes are out of order, a name is computed twice or one is used that nobody computes. */
export function toCutGraph(graph: OnnxGraph): CutGraph {
  const constants: CutConstant[] = [];
  /** What each constant is computed from. */
  const needs: (readonly number[])[] = [];
  const constantOf = new Map<string, number>();
  const addConstant = (constant: CutConstant, names: readonly string[], needed: readonly number[]) => {
    for (const name of names) {
      if (constantOf.has(name)) throw refused(graph, `'${name}' is defined twice`);
      constantOf.set(name, constants.length);
    }
    constants.push(constant);
    needs.push(needed);
  };
  graph.initializers.forEach(({ name, dataBytes }, index) => {
    addConstant({ kind: "initializer", index, bytes: dataBytes }, [name], []);
  });
  const inputs = graph.inputs.map((input) => input.name).filter((name) => !constantOf.has(name));
  const known = new Set(inputs);
  const nodes: CutNode[] = [];
  graph.nodes.forEach((node, index) => {
    const names = unique([...node.inputs, ...node.captures]).filter((name) => name !== "");
    const missing = names.find((name) => !constantOf.has(name) && !known.has(name));
    if (missing !== undefined) {
      throw refused(graph, `${label(node, index)} reads '${missing}', which nothing before it computes`);
    }
    const reads = names.filter((name) => !constantOf.has(name));
    const direct = placesOf(names, constantOf);
    const writes = node.outputs.filter((name) => name !== "");
    const ownBytes = node.range.end - node.range.start;
    const twice = writes.find((name, i) => known.has(name) || constantOf.has(name) || writes.indexOf(name) < i);
    if (twice !== undefined) throw refused(graph, `'${twice}' is defined twice`);
    if (reads.length === 0 && isRepeatable(node, graph)) {
      addConstant({ kind: "node", index, bytes: ownBytes }, writes, direct);
      return;
    }
    for (const name of writes) known.add(name);
    const { name, opType } = node;
    nodes.push({ index, name, opType, reads, writes, constants: withNeeds(direct, needs), ownBytes });
  });
  const outputs = graph.outputs.map((output) => output.name);
  for (const name of outputs) {
    if (!known.has(name) && !constantOf.has(name)) throw refused(graph, `nothing computes its output '${name}'`);
  }
  const used = usedNodes(nodes, outputs);
  return {
    nodes: used,
    constants,
    tensors: lifetimes(used),
    inputs,
    outputs,
    constantOutputs: withNeeds(placesOf(outputs, constantOf), needs),
  };
}

function placesOf(names: readonly string[], constantOf: ReadonlyMap<string, number>): number[] {
  return names.flatMap((name) => constantOf.get(name) ?? []);
}

/** The constants and all they are computed from, ascending. */
function withNeeds(direct: readonly number[], needs: readonly (readonly number[])[]): number[] {
  const all = new Set<number>();
  const open = [...direct];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (all.has(place)) continue;
    all.add(place);
    open.push(...(needs[place] ?? []));
  }
  return [...all].sort((a, b) => a - b);
}

/** Bytes of weights by node, those of several nodes apart: a stage holds them once. */
export interface NodeWeights {
  readonly weightBytes: readonly number[];
  readonly sharedWeights: readonly SharedWeight[];
}

export interface SharedWeight {
  readonly bytes: number;
  /** Positions of the nodes that use it, ascending, at least two. */
  readonly nodes: readonly number[];
}

export function nodeWeights(graph: CutGraph): NodeWeights {
  const users = graph.constants.map((): number[] => []);
  graph.nodes.forEach((node, position) => {
    for (const constant of node.constants) users[constant]?.push(position);
  });
  const weightBytes = graph.nodes.map((node) => node.ownBytes);
  const sharedWeights: SharedWeight[] = [];
  graph.constants.forEach(({ bytes }, i) => {
    const nodes = users[i] ?? [];
    const [only] = nodes;
    if (nodes.length > 1) sharedWeights.push({ bytes, nodes });
    else if (only !== undefined) weightBytes[only] = (weightBytes[only] ?? 0) + bytes;
  });
  return { weightBytes, sharedWeights };
}

/** Whether running the node again on the same inputs is sure to give the same. */
function isRepeatable(node: GraphNode, graph: OnnxGraph): boolean {
  return (
    !node.hasBody &&
    KNOWN_DOMAINS.has(node.domain) &&
    !RANDOM_OPERATORS.has(node.opType) &&
    !graph.functions.has(operatorName(node.domain, node.opType))
  );
}

/** Leaves out nodes whose results reach no output, as the runtime does. */
function usedNodes(nodes: readonly CutNode[], outputs: readonly string[]): CutNode[] {
  const wanted = new Set(outputs);
  const used: CutNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.writes.some((name) => wanted.has(name))) continue;
    for (const name of node.reads) wanted.add(name);
    used.push(node);
  }
  return used.reverse();
}

function lifetimes(nodes: readonly CutNode[]): CutTensor[] {
  const lastUse = new Map<string, number>();
  nodes.forEach((node, position) => {
    for (const name of node.reads) lastUse.set(name, position);
  });
  return nodes.flatMap((node, producer) =>
    node.writes.flatMap((name) => {
      const last = lastUse.get(name);
      return last === undefined ? [] : [{ name, producer, lastUse: last }];
    }),
  );
}

function label(node: GraphNode, index: number): string {
  return node.name === "" ? `node ${index} (${node.opType})` : `node '${node.name}' (${node.opType})`;
}

function refused(graph: OnnxGraph, what: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `'${graph.subject}' cannot be cut: ${what}; check the export`);
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
