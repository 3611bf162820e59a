/** From the bytes of a ModelProto without bulky fields to what it says. */
import type { InferenceError } from "../errors.ts";
import { LENGTH_DELIMITED, VARINT, WireReader } from "../wire/reader.ts";
import {
  type ByteRange,
  type ExternalData,
  fromElementType,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxValue,
} from "./model.ts";
import { MAX_DEPTH, MAX_FIELDS } from "./outline.ts";

/** Parses an outline; `ranges` are where the main graph's initializers lie in the file. */
export function parseModel(bytes: Uint8Array, subject: string, ranges: readonly ByteRange[]): OnnxModel {
  return new ModelParser(bytes, subject, ranges).parse();
}

interface TensorHeader {
  readonly name: string;
  readonly elementType: number;
  readonly dims: readonly number[];
  readonly externalData: ExternalData | undefined;
}

type ValueType = Omit<OnnxValue, "name" | "datatype">;

const UNTYPED: ValueType = { kind: "unknown", elementType: 0, shape: undefined, dimNames: [] };

/** One pass over the outline. Every read method expects to have entered its message. */
class ModelParser {
  readonly #reader: WireReader;
  readonly #ranges: readonly ByteRange[];
  readonly #inputs: OnnxValue[] = [];
  readonly #outputs: OnnxValue[] = [];
  readonly #initializers: OnnxInitializer[] = [];
  readonly #domains = new Set<string>();
  readonly #externalData: ExternalData[] = [];
  readonly #opsets = new Map<string, number>();
  #nodeCount = 0;
  #denseInitializers = 0;

  constructor(bytes: Uint8Array, subject: string, ranges: readonly ByteRange[]) {
    this.#reader = new WireReader(bytes, { subject: `ONNX model '${subject}'`, maxFields: MAX_FIELDS });
    this.#ranges = ranges;
  }

  parse(): OnnxModel {
    const reader = this.#reader;
    let irVersion = 0;
    let producerName = "";
    let producerVersion = "";
    let hasGraph = false;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | VARINT)) irVersion = reader.int64();
      else if (tag === ((2 << 3) | LENGTH_DELIMITED)) producerName = reader.string();
      else if (tag === ((3 << 3) | LENGTH_DELIMITED)) producerVersion = reader.string();
      else if (tag === ((7 << 3) | LENGTH_DELIMITED)) {
        hasGraph = true;
        this.#nested(() => this.#readMainGraph());
      } else if (tag === ((8 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readOpset());
      else if (tag === ((25 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readFunction());
      else reader.skip(tag);
    }
    if (!hasGraph) throw this.#malformed("it has no graph");
    const initialized = new Set(this.#initializers.map((initializer) => initializer.name));
    return {
      irVersion,
      opsets: this.#opsets,
      producer: `${producerName} ${producerVersion}`.trim(),
      inputs: this.#inputs.filter((input) => !initialized.has(input.name)),
      outputs: this.#outputs,
      initializers: this.#initializers,
      domains: this.#domains,
      nodeCount: this.#nodeCount,
      externalData: this.#externalData,
    };
  }

  #readMainGraph(): void {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) {
        this.#nodeCount++;
        this.#nested(() => this.#readNode(1));
      } else if (tag === ((5 << 3) | LENGTH_DELIMITED)) {
        // The outline lists the ranges in the order in which the initializers come by here.
        const range = this.#ranges[this.#denseInitializers++];
        this.#initializers.push({ ...this.#nested(() => this.#readTensor()), range });
      } else if (tag === ((11 << 3) | LENGTH_DELIMITED)) this.#inputs.push(this.#nested(() => this.#readValue()));
      else if (tag === ((12 << 3) | LENGTH_DELIMITED)) this.#outputs.push(this.#nested(() => this.#readValue()));
      else if (tag === ((15 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readSparseInitializer());
      else reader.skip(tag);
    }
  }

  /** A subgraph's operators and references; its own inputs and outputs concern nobody outside. */
  #readSubgraph(depth: number): void {
    const reader = this.#reader;
    if (depth > MAX_DEPTH) throw this.#malformed(`subgraphs are nested deeper than ${MAX_DEPTH}`);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readNode(depth + 1));
      else if (tag === ((5 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readTensor());
      else reader.skip(tag);
    }
  }

  #readFunction(): void {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((7 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readNode(1));
      else reader.skip(tag);
    }
  }

  #readNode(depth: number): void {
    const reader = this.#reader;
    let domain = "";
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((7 << 3) | LENGTH_DELIMITED)) domain = reader.string();
      else if (tag === ((5 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readAttribute(depth));
      else reader.skip(tag);
    }
    this.#domains.add(domain);
  }

  #readAttribute(depth: number): void {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      // t, tensors; g, graphs
      if (tag === ((5 << 3) | LENGTH_DELIMITED) || tag === ((10 << 3) | LENGTH_DELIMITED)) {
        this.#nested(() => this.#readTensor());
      } else if (tag === ((6 << 3) | LENGTH_DELIMITED) || tag === ((11 << 3) | LENGTH_DELIMITED)) {
        this.#nested(() => this.#readSubgraph(depth));
      } else reader.skip(tag);
    }
  }

  #readSparseInitializer(): void {
    const reader = this.#reader;
    let dims: readonly number[] = [];
    let values: TensorHeader | undefined;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) values = this.#nested(() => this.#readTensor());
      else if (tag === ((2 << 3) | LENGTH_DELIMITED)) this.#nested(() => this.#readTensor());
      else if (tag >>> 3 === 3) dims = [...dims, ...this.#readDims(tag)];
      else reader.skip(tag);
    }
    if (values !== undefined) this.#initializers.push({ ...values, dims, range: undefined });
  }

  #readTensor(): TensorHeader {
    const reader = this.#reader;
    const dims: number[] = [];
    const external = new Map<string, string>();
    let elementType = 0;
    let name = "";
    let isExternal = false;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag >>> 3 === 1) dims.push(...this.#readDims(tag));
      else if (tag === ((2 << 3) | VARINT)) elementType = reader.varint32();
      else if (tag === ((8 << 3) | LENGTH_DELIMITED)) name = reader.string();
      else if (tag === ((13 << 3) | LENGTH_DELIMITED)) external.set(...this.#nested(() => this.#readStringEntry()));
      else if (tag === ((14 << 3) | VARINT)) isExternal = reader.varint32() === 1;
      else reader.skip(tag);
    }
    const externalData = isExternal ? this.#toExternalData(name, external) : undefined;
    if (externalData !== undefined) this.#externalData.push(externalData);
    return { name, elementType, dims, externalData };
  }

  #toExternalData(tensor: string, entries: ReadonlyMap<string, string>): ExternalData {
    const number = (key: string): number | undefined => {
      const text = entries.get(key);
      if (text === undefined) return undefined;
      const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      if (!Number.isSafeInteger(value)) {
        throw this.#malformed(`the external data of tensor '${tensor}' has ${key} '${text}'`);
      }
      return value;
    };
    return {
      tensor,
      location: entries.get("location") ?? "",
      offset: number("offset") ?? 0,
      length: number("length"),
    };
  }

  /** A StringStringEntryProto. */
  #readStringEntry(): [string, string] {
    const reader = this.#reader;
    let key = "";
    let value = "";
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) key = reader.string();
      else if (tag === ((2 << 3) | LENGTH_DELIMITED)) value = reader.string();
      else reader.skip(tag);
    }
    return [key, value];
  }

  #readOpset(): void {
    const reader = this.#reader;
    let domain = "";
    let version = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) domain = reader.string();
      else if (tag === ((2 << 3) | VARINT)) version = reader.int64();
      else reader.skip(tag);
    }
    this.#opsets.set(domain === "ai.onnx" ? "" : domain, version);
  }

  /** A ValueInfoProto. */
  #readValue(): OnnxValue {
    const reader = this.#reader;
    let name = "";
    let type = UNTYPED;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) name = reader.string();
      else if (tag === ((2 << 3) | LENGTH_DELIMITED)) type = this.#nested(() => this.#readType());
      else reader.skip(tag);
    }
    const isTensor = type.kind === "tensor";
    return { ...type, name, datatype: isTensor ? fromElementType(type.elementType) : undefined };
  }

  /** A TypeProto: one of tensor, sequence, map, sparse tensor, optional. */
  #readType(): ValueType {
    const reader = this.#reader;
    let type = UNTYPED;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | LENGTH_DELIMITED)) type = this.#nested(() => this.#readTensorType("tensor"));
      else if (tag === ((8 << 3) | LENGTH_DELIMITED)) type = this.#nested(() => this.#readTensorType("sparse tensor"));
      else {
        const kind = OTHER_KINDS.get(tag);
        if (kind !== undefined) type = { ...UNTYPED, kind };
        reader.skip(tag);
      }
    }
    return type;
  }

  #readTensorType(kind: "tensor" | "sparse tensor"): ValueType {
    const reader = this.#reader;
    let elementType = 0;
    let shape: number[] | undefined;
    const dimNames: string[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === ((1 << 3) | VARINT)) elementType = reader.varint32();
      else if (tag === ((2 << 3) | LENGTH_DELIMITED)) {
        const sizes = shape ?? [];
        shape = sizes;
        this.#nested(() => this.#readShape(sizes, dimNames));
      } else reader.skip(tag);
    }
    return { kind, elementType, shape, dimNames };
  }

  /** A TensorShapeProto; present and empty it makes a scalar. */
  #readShape(shape: number[], dimNames: string[]): void {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== ((1 << 3) | LENGTH_DELIMITED)) {
        reader.skip(tag);
        continue;
      }
      const outer = reader.enter();
      let size = -1;
      let name = "";
      for (let field = reader.tag(); field !== 0; field = reader.tag()) {
        if (field === ((1 << 3) | VARINT)) size = this.#dim();
        else if (field === ((2 << 3) | LENGTH_DELIMITED)) name = reader.string();
        else reader.skip(field);
      }
      reader.leave(outer);
      shape.push(name === "" ? size : -1);
      dimNames.push(name);
    }
  }

  /** A repeated int64 field, packed or not. */
  #readDims(tag: number): number[] {
    const reader = this.#reader;
    if ((tag & 7) === VARINT) return [this.#dim()];
    if ((tag & 7) !== LENGTH_DELIMITED) throw this.#malformed("the dims of a tensor cannot be read");
    const dims: number[] = [];
    const outer = reader.enter();
    while (reader.position < reader.end) dims.push(this.#dim());
    reader.leave(outer);
    return dims;
  }

  /** Negative sizes, which a damaged or foreign exporter writes for open dimensions, read as -1. */
  #dim(): number {
    const size = this.#reader.int64();
    if (Number.isNaN(size)) throw this.#malformed("a dimension is beyond 2^53");
    return Math.max(-1, size);
  }

  #nested<T>(read: () => T): T {
    const outer = this.#reader.enter();
    const result = read();
    this.#reader.leave(outer);
    return result;
  }

  #malformed(what: string): InferenceError {
    return this.#reader.malformed(what);
  }
}

const OTHER_KINDS: ReadonlyMap<number, OnnxValue["kind"]> = new Map([
  [(4 << 3) | LENGTH_DELIMITED, "sequence"],
  [(5 << 3) | LENGTH_DELIMITED, "map"],
  [(9 << 3) | LENGTH_DELIMITED, "optional"],
]);
