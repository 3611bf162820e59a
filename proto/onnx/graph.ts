/**
 * An ONNX file as byte ranges: what is needed to cut its graph is read, everything is kept as the bytes it was, so that
 * a file written from it loses no field of any ONNX release.
 */
import type { DataType } from "../datatypes.ts";
import type { ByteRange } from "./model.ts";

export interface OnnxGraph {
  /** Path of the file or what stands for it, for error texts. */
  readonly subject: string;
  /** The whole file; every range below is in it and takes in the field's tag and length. */
  readonly bytes: Buffer;
  /** Fields of the ModelProto other than the graph, in their order. */
  readonly modelFields: readonly ByteRange[];
  /** Fields of the GraphProto that are none of the lists below, in their order: name, doc_string, metadata_props, ... */
  readonly graphFields: readonly ByteRange[];
  /** In file order, which ONNX demands to be topological. */
  readonly nodes: readonly GraphNode[];
  readonly initializers: readonly GraphInitializer[];
  /** As the file lists them: IR < 4 lists initializers here too, later files those that a run may replace. */
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  readonly valueInfo: readonly GraphValue[];
  readonly quantization: readonly GraphQuantization[];
  /** Operators that are functions of this file, as `operatorName` writes them. */
  readonly functions: ReadonlySet<string>;
  /** Names of the nodes inside If, Loop and Scan bodies. */
  readonly bodyNodeNames: ReadonlySet<string>;
  /** Whether any tensor's data lie in another file, those of bodies included. */
  readonly hasExternalData: boolean;
}

export interface GraphNode {
  readonly range: ByteRange;
  /** "" where it has none. */
  readonly name: string;
  readonly opType: string;
  /** "" is ai.onnx. */
  readonly domain: string;
  /** "" stands for an optional input that is left out. */
  readonly inputs: readonly string[];
  /** "" stands for an optional output that nobody wants. */
  readonly outputs: readonly string[];
  /** Names of the outer graph that the node's bodies use: inputs in all but name. */
  readonly captures: readonly string[];
  readonly hasBody: boolean;
}

export interface GraphInitializer {
  readonly range: ByteRange;
  readonly name: string;
  /** Size of the data: in this file with what describes it, or in the other file where it says its length. */
  readonly dataBytes: number;
  /** The data lie in another file, by a path relative to this one's directory. */
  readonly isExternal: boolean;
}

/** A ValueInfoProto. */
export interface GraphValue {
  readonly range: ByteRange;
  readonly name: string;
  /** TensorProto.DataType of a dense tensor, see `fromElementType`; 0 where it is not said or no dense tensor. */
  readonly elementType: number;
}

/** A TensorAnnotation: names of the tensors that hold a tensor's scale and zero point. */
export interface GraphQuantization {
  readonly range: ByteRange;
  readonly tensor: string;
  readonly parameters: readonly string[];
}

/** What the runtime knows of a tensor inside the graph. */
export interface GraphTensorType {
  readonly datatype: DataType;
  /** A size, a size's name, null for a size not known; null altogether: the rank is unknown. `[]` is a scalar. */
  readonly shape: readonly (number | string | null)[] | null;
}

/** Key of `OnnxGraph.functions`. */
export function operatorName(domain: string, opType: string): string {
  return `${domain === "ai.onnx" ? "" : domain}::${opType}`;
}

/**
 * Session setting of a file that was written into another directory than the weights it refers to: their directory. It
 * goes into the session's `extra` settings as it is.
 */
export const EXTERNAL_DATA_FOLDER_SETTING = "session.model_external_initializers_file_folder_path";
