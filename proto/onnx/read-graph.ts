/** Reads the main graph of an ONNX file on wire level: names and ranges, no weights. */
import { ELEMENT_BYTES } from "../datatypes.ts";
import { LENGTH_DELIMITED, VARINT, WireReader } from "../wire/reader.ts";
import {
  type GraphInitializer,
  type GraphNode,
  type GraphQuantization,
  type GraphValue,
  type OnnxGraph,
  operatorName,
} from "./graph.ts";
import { type ByteRange, fromElementType } from "./model.ts";
import { MAX_DEPTH, MAX_FIELDS } from "./outline.ts";

/** Reads the graph of a whole file; INVALID_ARGUMENT where the bytes are no ONNX model. */
export function readGraph(bytes: Uint8Array, subject: string): OnnxGraph {
  return new GraphReader(bytes, subject).read();
}

/** What the header of a TensorProto says. */
interface TensorHead {
  readonly name: string;
  readonly externalBytes: number;
  readonly isExternal: boolean;
}

/** Names that a body uses and those that it defines. */
interface BodyNames {
  readonly used: Set<string>;
  readonly defined: Set<string>;
}

/** Every read method expects to have entered its message; `range` is that of the message's field. */
class GraphReader {
  readonly #reader: WireReader;
  readonly #subject: string;
  readonly #modelFields: ByteRange[] = [];
  readonly #graphFields: ByteRange[] = [];
  readonly #nodes: GraphNode[] = [];
  readonly #initializers: GraphInitializer[] = [];
  readonly #inputs: GraphValue[] = [];
  readonly #outputs: GraphValue[] = [];
  readonly #valueInfo: GraphValue[] = [];
  readonly #quantization: GraphQuantization[] = [];
  readonly #functions = new Set<string>();
  readonly #bodyNodeNames = new Set<string>();
  #hasExternalData = false;

  constructor(bytes: Uint8Array, subject: string) {
    this.#reader = new WireReader(bytes, { subject: `ONNX model '${subject}'`, maxFields: MAX_FIELDS });
    this.#subject = subject;
  }

  read(): OnnxGraph {
    let hasGraph = false;
    this.#fields((tag, start) => {
      if (tag === delimited(7)) {
        hasGraph = true;
        this.#nested(() => this.#readGraph());
        return;
      }
      if (tag === delimited(25)) this.#nested(() => this.#readFunction());
      else this.#reader.skip(tag);
      this.#modelFields.push(this.#rangeFrom(start));
    });
    if (!hasGraph) throw this.#reader.malformed("it has no graph");
    return {
      subject: this.#subject,
      bytes: this.#reader.bytes,
      modelFields: this.#modelFields,
      graphFields: this.#graphFields,
      nodes: this.#nodes,
      initializers: this.#initializers,
      inputs: this.#inputs,
      outputs: this.#outputs,
      valueInfo: this.#valueInfo,
      quantization: this.#quantization,
      functions: this.#functions,
      bodyNodeNames: this.#bodyNodeNames,
      hasExternalData: this.#hasExternalData,
    };
  }

  #readGraph(): void {
    this.#fields((tag, start) => {
      if (tag === delimited(1)) this.#nodes.push(this.#ranged(start, () => this.#readNode(0)));
      else if (tag === delimited(5)) this.#initializers.push(this.#initializer(start, () => this.#readTensor()));
      else if (tag === delimited(11)) this.#inputs.push(this.#ranged(start, () => this.#readValue()));
      else if (tag === delimited(12)) this.#outputs.push(this.#ranged(start, () => this.#readValue()));
      else if (tag === delimited(13)) this.#valueInfo.push(this.#ranged(start, () => this.#readValue()));
      else if (tag === delimited(14)) this.#quantization.push(this.#ranged(start, () => this.#readAnnotation()));
      else if (tag === delimited(15)) this.#initializers.push(this.#initializer(start, () => this.#readSparseTensor()));
      else {
        this.#reader.skip(tag);
        this.#graphFields.push(this.#rangeFrom(start));
      }
    });
  }

  #readNode(depth: number): Omit<GraphNode, "range"> {
    const reader = this.#reader;
    const inputs: string[] = [];
    const outputs: string[] = [];
    const captures = new Set<string>();
    let name = "";
    let opType = "";
    let domain = "";
    let hasBody = false;
    this.#fields((tag) => {
      if (tag === delimited(1)) inputs.push(reader.string());
      else if (tag === delimited(2)) outputs.push(reader.string());
      else if (tag === delimited(3)) name = reader.string();
      else if (tag === delimited(4)) opType = reader.string();
      else if (tag === delimited(5)) {
        if (this.#nested(() => this.#readAttribute(captures, depth + 1))) hasBody = true;
      } else if (tag === delimited(7)) domain = reader.string();
      else reader.skip(tag);
    });
    return {
      name,
      opType,
      domain: domain === "ai.onnx" ? "" : domain,
      inputs,
      outputs,
      captures: [...captures],
      hasBody,
    };
  }

  /** Adds to `captures` what the attribute's graphs use of the graphs around them; tells whether there are any. */
  #readAttribute(captures: Set<string>, depth: number): boolean {
    let hasBody = false;
    this.#fields((tag) => {
      // t, tensors; g, graphs
      if (tag === delimited(5) || tag === delimited(10)) this.#nested(() => this.#readTensor());
      else if (tag === delimited(6) || tag === delimited(11)) {
        hasBody = true;
        const { used, defined } = this.#nested(() => this.#readBody(depth));
        for (const name of used) if (!defined.has(name)) captures.add(name);
      } else this.#reader.skip(tag);
    });
    return hasBody;
  }

  #readBody(depth: number): BodyNames {
    if (depth > MAX_DEPTH) throw this.#reader.malformed(`subgraphs are nested deeper than ${MAX_DEPTH}`);
    const used = new Set<string>();
    const defined = new Set<string>();
    this.#fields((tag) => {
      if (tag === delimited(1)) {
        const node = this.#nested(() => this.#readNode(depth));
        for (const name of [...node.inputs, ...node.captures]) if (name !== "") used.add(name);
        for (const name of node.outputs) defined.add(name);
        if (node.name !== "") this.#bodyNodeNames.add(node.name);
      } else if (tag === delimited(5)) defined.add(this.#nested(() => this.#readTensor()).name);
      else if (tag === delimited(15)) defined.add(this.#nested(() => this.#readSparseTensor()).name);
      else if (tag === delimited(11)) defined.add(this.#nested(() => this.#readValue()).name);
      else if (tag === delimited(12)) used.add(this.#nested(() => this.#readValue()).name);
      else this.#reader.skip(tag);
    });
    return { used, defined };
  }

  /** A TensorProto's name and where its data are. */
  #readTensor(): TensorHead {
    const reader = this.#reader;
    let name = "";
    let elements = 1;
    let elementType = 0;
    let length: number | undefined;
    let isExternal = false;
    this.#fields((tag) => {
      if (tag === ((1 << 3) | VARINT)) elements *= reader.int64();
      else if (tag === delimited(1)) {
        this.#nested(() => {
          while (reader.position < reader.end) elements *= reader.int64();
        });
      } else if (tag === ((2 << 3) | VARINT)) elementType = reader.varint32();
      else if (tag === delimited(8)) name = reader.string();
      else if (tag === delimited(13)) {
        const [key, value] = this.#nested(() => this.#readStringEntry());
        if (key === "length" && /^\d{1,15}$/.test(value)) length = Number(value);
      } else if (tag === ((14 << 3) | VARINT)) isExternal = reader.varint32() === 1;
      else reader.skip(tag);
    });
    if (isExternal) this.#hasExternalData = true;
    const datatype = fromElementType(elementType);
    const externalBytes = length ?? elements * (datatype === undefined ? 1 : ELEMENT_BYTES[datatype]);
    return { name, externalBytes, isExternal };
  }

  /** A SparseTensorProto goes by the name of its values. */
  #readSparseTensor(): TensorHead {
    let values: TensorHead = { name: "", externalBytes: 0, isExternal: false };
    this.#fields((tag) => {
      if (tag === delimited(1)) values = this.#nested(() => this.#readTensor());
      else this.#reader.skip(tag);
    });
    return values;
  }

  #readValue(): Omit<GraphValue, "range"> {
    let name = "";
    let elementType = 0;
    this.#fields((tag) => {
      if (tag === delimited(1)) name = this.#reader.string();
      else if (tag === delimited(2)) elementType = this.#nested(() => this.#readElementType());
      else this.#reader.skip(tag);
    });
    return { name, elementType };
  }

  /** The element type in a TypeProto that is a dense tensor's; 0 in any other. */
  #readElementType(): number {
    let elementType = 0;
    this.#fields((tag) => {
      if (tag !== delimited(1)) return this.#reader.skip(tag);
      this.#nested(() =>
        this.#fields((inner) => {
          if (inner === ((1 << 3) | VARINT)) elementType = this.#reader.varint32();
          else this.#reader.skip(inner);
        }),
      );
    });
    return elementType;
  }

  #readAnnotation(): Omit<GraphQuantization, "range"> {
    const parameters: string[] = [];
    let tensor = "";
    this.#fields((tag) => {
      if (tag === delimited(1)) tensor = this.#reader.string();
      else if (tag === delimited(2)) parameters.push(this.#nested(() => this.#readStringEntry())[1]);
      else this.#reader.skip(tag);
    });
    return { tensor, parameters };
  }

  /** A StringStringEntryProto. */
  #readStringEntry(): [string, string] {
    let key = "";
    let value = "";
    this.#fields((tag) => {
      if (tag === delimited(1)) key = this.#reader.string();
      else if (tag === delimited(2)) value = this.#reader.string();
      else this.#reader.skip(tag);
    });
    return [key, value];
  }

  /** A FunctionProto: its operator's name; a function's body sees nothing of the graph. */
  #readFunction(): void {
    let name = "";
    let domain = "";
    this.#fields((tag) => {
      if (tag === delimited(1)) name = this.#reader.string();
      else if (tag === delimited(10)) domain = this.#reader.string();
      else this.#reader.skip(tag);
    });
    this.#functions.add(operatorName(domain, name));
  }

  #initializer(start: number, read: () => TensorHead): GraphInitializer {
    const { name, externalBytes, isExternal } = this.#nested(read);
    const range = this.#rangeFrom(start);
    return { range, name, isExternal, dataBytes: isExternal ? externalBytes : range.end - range.start };
  }

  #ranged<T extends object>(start: number, read: () => T): T & { readonly range: ByteRange } {
    return { ...this.#nested(read), range: this.#rangeFrom(start) };
  }

  #rangeFrom(start: number): ByteRange {
    return { start, end: this.#reader.position };
  }

  /** Calls `read` for every field of the message entered last, with the field's tag and where the field starts. */
  #fields(read: (tag: number, start: number) => void): void {
    const reader = this.#reader;
    for (;;) {
      const start = reader.position;
      const tag = reader.tag();
      if (tag === 0) return;
      read(tag, start);
    }
  }

  #nested<T>(read: () => T): T {
    const outer = this.#reader.enter();
    const result = read();
    this.#reader.leave(outer);
    return result;
  }
}

/** Tag of a field that holds a string or a message. */
function delimited(field: number): number {
  return (field << 3) | LENGTH_DELIMITED;
}
