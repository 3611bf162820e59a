/**
 * Writes ONNX files out of the byte ranges of another: nothing is decoded and encoded again but what changes. A file is
 * a list of chunks, most of them views on the file it came from, so that weights are not copied in memory.
 */
import { InferenceError } from "../errors.ts";
import { LENGTH_DELIMITED, VARINT, WireReader } from "../wire/reader.ts";
import { delimitedSize, int64Size, stringFieldSize, varintSize, WireWriter } from "../wire/writer.ts";
import type { GraphNode, GraphTensorType, OnnxGraph } from "./graph.ts";
import { type ByteRange, toElementType } from "./model.ts";
import { MAX_MODEL_BYTES } from "./read-model.ts";

/** A file's content, in order. */
export type FileChunks = readonly Uint8Array[];

/** A field of the new graph: a range of the file it comes from, or new bytes. */
export type GraphField = ByteRange | Uint8Array;

/**
 * A model with these fields of its GraphProto and everything else as in `graph`. FAILED_PRECONDITION where the file
 * would be beyond protobuf's 2 GiB.
 */
export function writeModel(graph: OnnxGraph, fields: readonly GraphField[]): FileChunks {
  const content = gather(graph.bytes, fields);
  const contentBytes = chunksSize(content);
  const header = WireWriter.ofSize(1 + varintSize(contentBytes));
  header.tag((7 << 3) | LENGTH_DELIMITED);
  header.varint(contentBytes);
  const chunks = [...gather(graph.bytes, graph.modelFields), header.bytes, ...content];
  const size = chunksSize(chunks);
  if (size > MAX_MODEL_BYTES) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `a model written from '${graph.subject}' would have ${size} bytes, but protobuf and so ONNX end at 2 GiB; keep ` +
        "its weights in a file beside it (Python: onnx.save_model(model, path, save_as_external_data=True))",
    );
  }
  return chunks;
}

/** Every field of the graph in file order. */
export function graphRanges(graph: OnnxGraph): ByteRange[] {
  const { nodes, initializers, inputs, outputs, valueInfo, quantization, graphFields } = graph;
  const ranges = [nodes, initializers, inputs, outputs, valueInfo, quantization].flatMap((list) =>
    list.map((entry) => entry.range),
  );
  return [...ranges, ...graphFields].sort((a, b) => a.start - b.start);
}

/** The same model with further outputs that have a name only; the runtime finds their types. */
export function withOutputs(graph: OnnxGraph, names: readonly string[]): FileChunks {
  const present = new Set(graph.outputs.map((output) => output.name));
  const added = names.filter((name) => !present.has(name)).map((name) => valueField(12, name, undefined));
  return writeModel(graph, [...graphRanges(graph), ...added]);
}

/**
 * The same model whose nodes all have a name that no other node has, those of bodies included: what a profile is read
 * by. Nodes that have one already keep it.
 */
export function withNodeNames(graph: OnnxGraph): FileChunks {
  const names = uniqueNodeNames(graph);
  const renamed = new Map<ByteRange, Uint8Array>();
  graph.nodes.forEach((node, i) => {
    const name = names[i] ?? node.name;
    if (name !== node.name) renamed.set(node.range, renamedNode(graph, node, name));
  });
  if (renamed.size === 0) return [graph.bytes];
  return writeModel(
    graph,
    graphRanges(graph).map((range) => renamed.get(range) ?? range),
  );
}

/** A name for each node: its own, or `<operator>_<index in the file>` where it has none of its own. */
export function uniqueNodeNames(graph: OnnxGraph): string[] {
  const taken = new Set([...graph.bodyNodeNames, ...graph.nodes.map((node) => node.name)]);
  const seen = new Set(["", ...graph.bodyNodeNames]);
  return graph.nodes.map((node, i) => {
    let name = node.name;
    for (let suffix = ""; seen.has(name); suffix += "_") {
      const fresh = `${node.opType}_${i}${suffix}`;
      if (!taken.has(fresh)) name = fresh;
    }
    seen.add(name);
    taken.add(name);
    return name;
  });
}

/** A ValueInfoProto as field `number` of a GraphProto (11 input, 12 output, 13 value_info); undefined: a name only. */
export function valueField(number: 11 | 12 | 13, name: string, type: GraphTensorType | undefined): Uint8Array {
  const shape = type?.shape ?? undefined;
  const dims = (shape ?? []).map(dimension);
  const shapeBytes = dims.reduce((sum, dim) => sum + 1 + delimitedSize(dim.byteLength), 0);
  const elementType = type === undefined ? 0 : toElementType(type.datatype);
  const tensorBytes = 1 + varintSize(elementType) + (shape === undefined ? 0 : 1 + delimitedSize(shapeBytes));
  const typeBytes = 1 + delimitedSize(tensorBytes);
  const valueBytes = stringFieldSize(name) + (type === undefined ? 0 : 1 + delimitedSize(typeBytes));
  const writer = WireWriter.ofSize(1 + delimitedSize(valueBytes));
  const open = (field: number, length: number) => {
    writer.tag((field << 3) | LENGTH_DELIMITED);
    writer.varint(length);
  };
  open(number, valueBytes);
  writer.stringField((1 << 3) | LENGTH_DELIMITED, name);
  if (type !== undefined) {
    open(2, typeBytes);
    open(1, tensorBytes);
    writer.tag((1 << 3) | VARINT);
    writer.varint(elementType);
    if (shape !== undefined) {
      open(2, shapeBytes);
      for (const dim of dims) {
        writer.tag((1 << 3) | LENGTH_DELIMITED);
        writer.delimited(dim);
      }
    }
  }
  return writer.bytes;
}

/** The chunks as one buffer. */
export function joinChunks(chunks: FileChunks): Buffer {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
  return Buffer.concat(chunks);
}

function chunksSize(chunks: FileChunks): number {
  return chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

/** The fields' bytes; ranges that adjoin each other are one chunk. */
function gather(bytes: Buffer, fields: readonly GraphField[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let run: ByteRange | undefined;
  const flush = () => {
    if (run !== undefined) chunks.push(bytes.subarray(run.start, run.end));
    run = undefined;
  };
  for (const field of fields) {
    if (field instanceof Uint8Array) {
      flush();
      chunks.push(field);
    } else if (run !== undefined && run.end === field.start) run = { start: run.start, end: field.end };
    else {
      flush();
      run = field;
    }
  }
  flush();
  return chunks;
}

/** A TensorShapeProto.Dimension. */
function dimension(dim: number | string | null): Uint8Array {
  if (dim === null) return new Uint8Array(0);
  if (typeof dim === "string") {
    const writer = WireWriter.ofSize(stringFieldSize(dim));
    writer.stringField((2 << 3) | LENGTH_DELIMITED, dim);
    return writer.bytes;
  }
  const writer = WireWriter.ofSize(1 + int64Size(dim));
  writer.tag((1 << 3) | VARINT);
  writer.int64(dim);
  return writer.bytes;
}

/** The node's field of the GraphProto with another name in it. */
function renamedNode(graph: OnnxGraph, node: GraphNode, name: string): Uint8Array {
  const { start, end } = node.range;
  const reader = new WireReader(graph.bytes.subarray(start, end), { subject: `ONNX model '${graph.subject}'` });
  reader.tag();
  reader.enter();
  const kept: Uint8Array[] = [];
  for (;;) {
    const from = reader.position;
    const tag = reader.tag();
    if (tag === 0) break;
    reader.skip(tag);
    if (tag !== ((3 << 3) | LENGTH_DELIMITED)) kept.push(reader.bytes.subarray(from, reader.position));
  }
  const nodeBytes = chunksSize(kept) + stringFieldSize(name);
  const writer = WireWriter.ofSize(1 + delimitedSize(nodeBytes));
  writer.tag((1 << 3) | LENGTH_DELIMITED);
  writer.varint(nodeBytes);
  writer.stringField((3 << 3) | LENGTH_DELIMITED, name);
  for (const field of kept) {
    writer.bytes.set(field, writer.position);
    writer.position += field.byteLength;
  }
  return writer.bytes;
}
