/** profile.json: what `hybridserve profile` measured of models, by device class and batch size. */
import { JsonField } from "./json-field.ts";

export const PROFILE_FORMAT_VERSION = 1;

export interface ProfileFile {
  readonly createdAt: string;
  /** The machine and versions that were measured; another runtime makes a plan stale. */
  readonly runtime: ProfiledRuntime;
  readonly models: readonly ModelProfile[];
}

export interface ProfiledRuntime {
  readonly onnxruntime: string;
  readonly node: string;
  readonly providers: readonly string[];
  /** Processor and cores, for the reader. */
  readonly machine: string;
}

export interface ModelProfile {
  readonly name: string;
  readonly version: string;
  /** `sha256:<hex>` over the files of the version. */
  readonly modelHash: string;
  readonly maxBatchSize: number;
  readonly weightBytes: number;
  readonly inputBytesPerRow: number;
  readonly outputBytesPerRow: number;
  readonly classes: readonly ClassProfile[];
  /** Dynamic nodes of the optimised graph in file order, for cutting; null: the model cannot be cut or was not asked to be. */
  readonly graph: GraphProfile | null;
}

/** One model on one class of devices. */
export interface ClassProfile {
  readonly class: string;
  /** Ascending by batch size; empty where the whole model does not load in the class's memory. */
  readonly batches: readonly BatchProfile[];
  /** Why there are no more batches (time limit, memory), for the reader; "" when all were measured. */
  readonly stopped: string;
}

export interface BatchProfile {
  readonly batchSize: number;
  /** Service times of single runs in milliseconds, in the order measured: samples, never a mean alone. */
  readonly serviceMs: readonly number[];
  /** Largest resident memory of the process that ran the model. */
  readonly peakBytes: number;
  /** Energy of one run above what the idle device takes; null where no meter exists. */
  readonly energy: MeasuredEnergy | null;
}

export interface MeasuredEnergy {
  readonly joules: number;
  /** The meter: `rapl:package-0`, `nvml:GPU-...`, `modelled: watts of devices.json`. */
  readonly source: string;
}

/** What cuts are chosen from: the graph that the runtime optimised. */
export interface GraphProfile {
  readonly optimisation: "basic" | "extended";
  /** Hash of the optimised file. */
  readonly graphHash: string;
  /** Batch size of `nodeMs` and `cutBytes`. */
  readonly batchSize: number;
  /** Median milliseconds of each node by device class, as profiled by the runtime. */
  readonly nodeMs: Readonly<Record<string, readonly number[]>>;
  /** Weights that a stage holding this node needs, those that several nodes share counted at each. */
  readonly nodeWeightBytes: readonly number[];
  /** Positions p (between node p-1 and p) where few tensors cross; ascending. */
  readonly cuts: readonly CutPosition[];
}

export interface CutPosition {
  readonly position: number;
  /** Bytes that cross here at `batchSize` rows. */
  readonly bytes: number;
  readonly tensors: number;
}

/** The file's text, as `readProfileFile` reads it. */
export function profileJson(profile: ProfileFile): string {
  return `${JSON.stringify({ formatVersion: PROFILE_FORMAT_VERSION, ...profile }, null, 1)}\n`;
}

/** Reads and checks profile.json; throws INVALID_ARGUMENT naming file and field. */
export function readProfileFile(text: string, file: string): ProfileFile {
  const root = JsonField.parse(text, file).object(["formatVersion", "createdAt", "runtime", "models"]);
  root.get("formatVersion").integer(PROFILE_FORMAT_VERSION, PROFILE_FORMAT_VERSION);
  const runtime = root.get("runtime").object(["onnxruntime", "node", "providers", "machine"]);
  const models = root.get("models").items().map(readModel);
  for (const [i, model] of models.entries()) {
    if (models.findIndex((other) => other.name === model.name && other.version === model.version) < i) {
      throw root.get("models").error(`names model '${model.name}' version ${model.version} twice`);
    }
  }
  return {
    createdAt: root.get("createdAt").string(),
    runtime: {
      onnxruntime: runtime.get("onnxruntime").string(),
      node: runtime.get("node").string(),
      providers: runtime
        .get("providers")
        .items()
        .map((provider) => provider.string()),
      machine: runtime.get("machine").string(),
    },
    models,
  };
}

function readModel(field: JsonField): ModelProfile {
  field.object([
    "name",
    "version",
    "modelHash",
    "maxBatchSize",
    "weightBytes",
    "inputBytesPerRow",
    "outputBytesPerRow",
    "classes",
    "graph",
  ]);
  const graph = field.get("graph");
  const classes = field.get("classes").items().map(readClassProfile);
  for (const [i, { class: name }] of classes.entries()) {
    if (classes.findIndex((other) => other.class === name) < i) {
      throw field.get("classes").error(`names '${name}' twice`);
    }
  }
  return {
    name: field.get("name").string(),
    version: field.get("version").string(),
    modelHash: field.get("modelHash").string(),
    maxBatchSize: field.get("maxBatchSize").integer(1),
    weightBytes: field.get("weightBytes").integer(0),
    inputBytesPerRow: field.get("inputBytesPerRow").number(0),
    outputBytesPerRow: field.get("outputBytesPerRow").number(0),
    classes,
    graph: graph.isNull() ? null : readGraph(graph),
  };
}

function readClassProfile(field: JsonField): ClassProfile {
  field.object(["class", "batches", "stopped"]);
  const batches = field.get("batches").items().map(readBatch);
  if (batches.some((batch, i) => i > 0 && batch.batchSize <= (batches[i - 1]?.batchSize ?? 0))) {
    throw field.get("batches").error("must ascend by batchSize");
  }
  const stopped = field.get("stopped").value;
  if (typeof stopped !== "string") throw field.get("stopped").error("must be a string");
  return { class: field.get("class").string(), batches, stopped };
}

/** One entry of `batches`. */
export function readBatch(field: JsonField): BatchProfile {
  field.object(["batchSize", "serviceMs", "peakBytes", "energy"]);
  const serviceMs = field
    .get("serviceMs")
    .items()
    .map((sample) => sample.number(0));
  if (serviceMs.length === 0) throw field.get("serviceMs").error("must hold at least one sample");
  const energy = field.get("energy");
  return {
    batchSize: field.get("batchSize").integer(1),
    serviceMs,
    peakBytes: field.get("peakBytes").integer(0),
    energy: energy.isNull()
      ? null
      : {
          joules: energy.object(["joules", "source"]).get("joules").number(0),
          source: energy.get("source").string(),
        },
  };
}

function readGraph(field: JsonField): GraphProfile {
  field.object(["optimisation", "graphHash", "batchSize", "nodeMs", "nodeWeightBytes", "cuts"]);
  const nodeWeightBytes = field
    .get("nodeWeightBytes")
    .items()
    .map((bytes) => bytes.integer(0));
  const nodeMs = Object.fromEntries(
    field
      .get("nodeMs")
      .entries()
      .map(([name, times]) => {
        const values = times.items().map((time) => time.number(0));
        if (values.length !== nodeWeightBytes.length) {
          throw times.error(`must hold one time for each of the ${nodeWeightBytes.length} nodes`);
        }
        return [name, values];
      }),
  );
  return {
    optimisation: field.get("optimisation").oneOf(["basic", "extended"]),
    graphHash: field.get("graphHash").string(),
    batchSize: field.get("batchSize").integer(1),
    nodeMs,
    nodeWeightBytes,
    cuts: field
      .get("cuts")
      .items()
      .map((cut) => {
        cut.object(["position", "bytes", "tensors"]);
        return {
          position: cut.get("position").integer(1, Math.max(1, nodeWeightBytes.length - 1)),
          bytes: cut.get("bytes").number(0),
          tensors: cut.get("tensors").integer(0),
        };
      }),
  };
}
