/**
 * Writes the files of stages: each holds its nodes, a copy of every constant they need and typed inputs and outputs
 * where the graph was cut; all else is the original's bytes. Source: planner.md 1.3.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { GraphTensorType, OnnxGraph } from "../../proto/onnx/graph.ts";
import type { ByteRange } from "../../proto/onnx/model.ts";
import { type FileChunks, type GraphField, valueField, writeModel } from "../../proto/onnx/write-graph.ts";
import type { CutGraph } from "./cut-graph.ts";

/** Types of tensors inside the graph by name, as the runtime infers and a run confirms them. */
export type TensorTypes = ReadonlyMap<string, GraphTensorType>;

export interface StageInput {
  readonly name: string;
  /** Where it comes from: the request, or the stage with this index. */
  readonly from: "request" | number;
  /** Absent where it comes from the request: the model's own signature says it. */
  readonly type?: GraphTensorType;
}

export interface StageOutput {
  readonly name: string;
  /** An output of the whole model. */
  readonly isAnswer: boolean;
  /** A later stage reads it. */
  readonly isHandedOn: boolean;
  readonly type?: GraphTensorType;
}

export interface Stage {
  /** Nodes of the CutGraph, the end excluded. */
  readonly fromNode: number;
  readonly toNode: number;
  /** The file. */
  readonly chunks: FileChunks;
  readonly inputs: readonly StageInput[];
  readonly outputs: readonly StageOutput[];
  /** Bytes of its nodes and constants; of external data what it uses of the other file. */
  readonly weightBytes: number;
  /**
   * The file refers to data in another one, by the original's relative paths: its session needs the setting
   * EXTERNAL_DATA_FOLDER_SETTING = directory of the original, or hard links to the data beside the stage's file.
   */
  readonly hasExternalData: boolean;
}

/** The stages between ascending cut positions. FAILED_PRECONDITION where the type of a tensor that crosses is missing. */
export function stageGraphs(graph: OnnxGraph, cut: CutGraph, cuts: readonly number[], types: TensorTypes): Stage[] {
  const borders = [0, ...cuts, cut.nodes.length];
  const stageOf = new Map<string, number>();
  return cuts.concat(cut.nodes.length).map((toNode, s) => {
    const stage = stageGraph(graph, cut, borders[s] ?? 0, toNode, types);
    for (const output of stage.outputs) if (!cut.inputs.includes(output.name)) stageOf.set(output.name, s);
    const inputs = stage.inputs.map((input) => ({ ...input, from: stageOf.get(input.name) ?? "request" }) as const);
    return { ...stage, inputs };
  });
}

/** What a stage holds, as places in the OnnxGraph's lists. */
interface StageContent {
  readonly nodes: ReadonlySet<number>;
  readonly initializers: ReadonlySet<number>;
  /** Names that the stage computes or holds. */
  readonly defined: ReadonlySet<string>;
  readonly inputs: readonly string[];
  readonly outputs: readonly Omit<StageOutput, "type">[];
  readonly weightBytes: number;
}

/** One stage: nodes `fromNode` to `toNode` of the CutGraph, the end excluded. Its inputs do not say where they come from. */
export function stageGraph(
  graph: OnnxGraph,
  cut: CutGraph,
  fromNode: number,
  toNode: number,
  types: TensorTypes,
): Omit<Stage, "inputs"> & { readonly inputs: readonly Omit<StageInput, "from">[] } {
  const content = stageContent(graph, cut, fromNode, toNode);
  const requested = new Set(cut.inputs);
  const typeOf = (name: string): GraphTensorType => {
    const type = types.get(name);
    if (type !== undefined) return type;
    throw new InferenceError("FAILED_PRECONDITION", `'${graph.subject}': the type of '${name}' is not known`);
  };
  const inputs = content.inputs.map((name) => (requested.has(name) ? { name } : { name, type: typeOf(name) }));
  const outputs = content.outputs.map(
    (output): StageOutput => (output.isHandedOn ? { ...output, type: typeOf(output.name) } : output),
  );
  const fields: GraphField[] = keptRanges(graph, content).sort((a, b) => a.start - b.start);
  for (const { name, type } of inputs) if (type !== undefined) fields.push(valueField(11, name, type));
  for (const { name, type, isAnswer } of outputs) if (!isAnswer) fields.push(valueField(12, name, type));
  return {
    fromNode,
    toNode,
    chunks: writeModel(graph, fields),
    inputs,
    outputs,
    weightBytes: content.weightBytes,
    hasExternalData: graph.hasExternalData,
  };
}

function stageContent(graph: OnnxGraph, cut: CutGraph, fromNode: number, toNode: number): StageContent {
  const isLast = toNode === cut.nodes.length;
  const own = cut.nodes.slice(fromNode, toNode);
  const constants = [
    ...new Set([...own.flatMap((node) => node.constants), ...(isLast ? cut.constantOutputs : [])]),
  ].flatMap((place) => cut.constants[place] ?? []);
  const nodes = new Set(own.map((node) => node.index));
  const initializers = new Set<number>();
  for (const { kind, index } of constants) (kind === "node" ? nodes : initializers).add(index);
  const computed = new Set(own.flatMap((node) => node.writes));
  const defined = new Set(computed);
  for (const { kind, index } of constants) {
    const names = kind === "node" ? (graph.nodes[index]?.outputs ?? []) : [graph.initializers[index]?.name ?? ""];
    for (const name of names) if (name !== "") defined.add(name);
  }
  const handedOn = new Set(
    cut.tensors
      .filter(({ producer, lastUse }) => producer >= fromNode && producer < toNode && lastUse >= toNode)
      .map(({ name }) => name),
  );
  // What no node computes, inputs and constants that are outputs as they are, comes from the last stage.
  const nowhere = new Set(isLast ? cut.outputs : []);
  for (const node of cut.nodes) for (const name of node.writes) nowhere.delete(name);
  const answers = cut.outputs.filter((name) => computed.has(name) || nowhere.has(name));
  const read = [...own.flatMap((node) => node.reads), ...answers].filter((name) => !defined.has(name));
  return {
    nodes,
    initializers,
    defined,
    inputs: [...new Set(read)],
    outputs: [
      ...answers.map((name) => ({ name, isAnswer: true, isHandedOn: handedOn.has(name) })),
      ...[...handedOn]
        .filter((name) => !answers.includes(name))
        .map((name) => ({ name, isAnswer: false, isHandedOn: true })),
    ],
    weightBytes: [...own.map((node) => node.ownBytes), ...constants.map((constant) => constant.bytes)].reduce(
      (a, b) => a + b,
      0,
    ),
  };
}

/** The original's fields that go into the stage's graph; out of order. */
function keptRanges(graph: OnnxGraph, content: StageContent): ByteRange[] {
  const inputs = new Set(content.inputs);
  const outputs = new Set(content.outputs.map((output) => output.name));
  const here = (name: string) => content.defined.has(name) || inputs.has(name);
  const quantization = graph.quantization.filter((annotation) => here(annotation.tensor));
  const scales = new Set(quantization.flatMap((annotation) => annotation.parameters));
  const answers = new Set(content.outputs.filter((output) => output.isAnswer).map((output) => output.name));
  const initializers = graph.initializers.filter(({ name }, i) => content.initializers.has(i) || scales.has(name));
  const initialized = new Set(initializers.map((initializer) => initializer.name));
  return [
    ...graph.graphFields,
    ...[
      graph.nodes.filter((_, i) => content.nodes.has(i)),
      initializers,
      // Inputs with an initializer: all in IR < 4, later those that a run may replace.
      graph.inputs.filter(({ name }) => inputs.has(name) || initialized.has(name)),
      graph.outputs.filter(({ name }) => answers.has(name)),
      graph.valueInfo.filter(({ name }) => content.defined.has(name) && !outputs.has(name) && !initialized.has(name)),
      quantization,
    ].flatMap((kept) => kept.map((entry) => entry.range)),
  ];
}
