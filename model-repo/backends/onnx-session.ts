/** One onnxruntime session and the way from raw bytes to its tensors and back. Runs inside an instance's own thread or process. */
import type { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { type DataType, ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { decodeStrings, encodeStrings } from "./bytes-elements.ts";
import type { InputPlace, ModelTensor, OutputData, SessionSettings } from "./instance-protocol.ts";
import { missingRuntime, onnxRuntimeError } from "./onnx-error.ts";

type Runtime = typeof import("onnxruntime-node");

/** What a run produced and where its time went. */
export interface SessionRun {
  readonly outputs: OutputData[];
  readonly inputMs: number;
  readonly runMs: number;
}

export class OnnxSession {
  readonly inputs: readonly ModelTensor[];
  readonly outputs: readonly ModelTensor[];
  readonly #runtime: Runtime;
  readonly #session: InferenceSession;
  readonly #inputTypes: ReadonlyMap<string, RunnableDataType>;

  private constructor(runtime: Runtime, session: InferenceSession) {
    this.#runtime = runtime;
    this.#session = session;
    const inputs = session.inputMetadata.map(toModelTensor);
    this.inputs = inputs;
    this.outputs = session.outputMetadata.map(toModelTensor);
    this.#inputTypes = new Map(inputs.map((input) => [input.name, input.datatype]));
  }

  /** Opens a model file; UNAVAILABLE without the native library, INTERNAL with the runtime's text otherwise. */
  static async open(modelPath: string, settings: SessionSettings): Promise<OnnxSession> {
    let runtime: Runtime;
    try {
      runtime = await import("onnxruntime-node");
    } catch (error) {
      throw missingRuntime(error);
    }
    let session: InferenceSession;
    try {
      session = await runtime.InferenceSession.create(modelPath, {
        executionProviders: [executionProvider(settings.device)],
        intraOpNumThreads: settings.intraOpThreads,
        interOpNumThreads: settings.interOpThreads,
        executionMode: settings.executionMode,
        graphOptimizationLevel: settings.graphOptimizationLevel,
        enableCpuMemArena: settings.enableMemArena,
        enableMemPattern: settings.enableMemPattern,
        extra: settings.extra,
        logSeverityLevel: SEVERITY_ERROR,
      });
    } catch (error) {
      throw onnxRuntimeError(error);
    }
    return new OnnxSession(runtime, session);
  }

  /** Runs one batch whose inputs lie in `buffer`; blocks this thread meanwhile. */
  async run(buffer: ArrayBuffer, inputs: readonly InputPlace[], outputs: readonly string[]): Promise<SessionRun> {
    const startedMs = performance.now();
    const feeds: Record<string, OnnxTensor> = {};
    for (const input of inputs) feeds[input.name] = this.#toTensor(buffer, input);
    const fedMs = performance.now();
    let results: InferenceSession.ReturnType;
    try {
      results = await this.#session.run(feeds, outputs, RUN_OPTIONS);
    } catch (error) {
      throw onnxRuntimeError(error);
    }
    const runMs = performance.now() - fedMs;
    return { outputs: outputs.map((name) => toOutputData(name, results[name])), inputMs: fedMs - startedMs, runMs };
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #toTensor(buffer: ArrayBuffer, input: InputPlace): OnnxTensor {
    const { name, dims, byteOffset, byteLength } = input;
    const datatype = this.#inputTypes.get(name);
    if (datatype === undefined) throw new InferenceError("INTERNAL", `the model file has no input '${name}'`);
    if (datatype === "BYTES") {
      const strings = decodeStrings(name, new Uint8Array(buffer, byteOffset, byteLength));
      return new this.#runtime.Tensor("string", strings, dims);
    }
    const { type, elements } = NUMERIC[datatype];
    return new this.#runtime.Tensor(type, new elements(buffer, byteOffset, byteLength / ELEMENT_BYTES[datatype]), dims);
  }
}

/** The provider of a device. With CUDA, nodes that it cannot run stay on the CPU; a missing library fails the load. */
function executionProvider(device: SessionSettings["device"] = "cpu"): InferenceSession.ExecutionProviderConfig {
  return device === "cpu" ? "cpu" : { name: "cuda", deviceId: Number(device.slice("cuda:".length)) };
}

/** Warnings about a model's graph are not the operator's; what fails a load or a run is in the error. */
const SEVERITY_ERROR = 3;
const RUN_OPTIONS = { logSeverityLevel: 4 } as const;

type NumericDataType = Exclude<DataType, "BYTES" | "BF16">;

interface NumericType {
  readonly type: Exclude<OnnxTensor.Type, "string">;
  readonly elements: new (buffer: ArrayBuffer, byteOffset: number, length: number) => OnnxTensor.DataType;
}

/** onnxruntime-node's name and element type of each datatype; half floats travel as their bits. */
const NUMERIC: Readonly<Record<NumericDataType, NumericType>> = {
  BOOL: { type: "bool", elements: Uint8Array },
  UINT8: { type: "uint8", elements: Uint8Array },
  UINT16: { type: "uint16", elements: Uint16Array },
  UINT32: { type: "uint32", elements: Uint32Array },
  UINT64: { type: "uint64", elements: BigUint64Array },
  INT8: { type: "int8", elements: Int8Array },
  INT16: { type: "int16", elements: Int16Array },
  INT32: { type: "int32", elements: Int32Array },
  INT64: { type: "int64", elements: BigInt64Array },
  FP16: { type: "float16", elements: Uint16Array },
  FP32: { type: "float32", elements: Float32Array },
  FP64: { type: "float64", elements: Float64Array },
};

type RunnableDataType = Exclude<DataType, "BF16">;

const DATATYPES: ReadonlyMap<OnnxTensor.Type, RunnableDataType> = new Map<OnnxTensor.Type, RunnableDataType>([
  ["string", "BYTES"],
  ...Object.entries(NUMERIC).map(([datatype, { type }]) => [type, datatype as NumericDataType] as const),
]);

function toModelTensor(
  metadata: InferenceSession.ValueMetadata,
): ModelTensor & { readonly datatype: RunnableDataType } {
  const { name } = metadata;
  const datatype = metadata.isTensor ? DATATYPES.get(metadata.type) : undefined;
  if (!metadata.isTensor || datatype === undefined) {
    const type = metadata.isTensor ? `elements of type ${metadata.type}` : "no tensor";
    throw new InferenceError("INVALID_ARGUMENT", `'${name}' of the model file is ${type}, which cannot be served`);
  }
  return { name, datatype, dims: metadata.shape.map((dim) => (typeof dim === "number" ? dim : -1)) };
}

/** The raw bytes of a result; the runtime gives each result memory of its own, which can be handed on. */
function toOutputData(name: string, result: OnnxTensor | undefined): OutputData {
  if (result === undefined) throw new InferenceError("INTERNAL", `the model run gave no output '${name}'`);
  const { data, dims } = result;
  if (Array.isArray(data)) return { dims, data: encodeStrings(data as string[]) };
  const { buffer, byteOffset, byteLength } = data as Uint8Array<ArrayBuffer>;
  const isWhole = byteOffset === 0 && byteLength === buffer.byteLength;
  return { dims, data: isWhole ? buffer : buffer.slice(byteOffset, byteOffset + byteLength) };
}
