/** What the benches ask: requests encoded beforehand, and how to tell a right answer from a wrong one. */
import { encodeInferRequest } from "../proto/codec/encode-request.ts";
import { type InferenceResponse, NO_PARAMETERS } from "../proto/inference.ts";
import type { Images } from "./images.ts";

/** Images in every fashion workload: a multiple of all client batches, so that all ask the same pictures. */
export const BENCH_IMAGES = 1984;
/** Different requests of an identity workload. */
const IDENTITY_MESSAGES = 8;
/** Largest difference of an answer from bare onnxruntime's, relative to 1 + its size: batches sum in another order. */
const TOLERANCE = 1e-4;

export interface Workload {
  readonly name: string;
  readonly model: string;
  /** Rows in every request. */
  readonly rows: number;
  /** Encoded ModelInferRequests. */
  readonly messages: readonly Uint8Array[];
  /** Models whose compute an answer holds; empty for identity. */
  readonly computes: readonly string[];
  /** Whether the answer has the size of the request, so that an echo of the request is the fair floor. */
  readonly echoes: boolean;
  /** What is wrong with the answer to message `index`; undefined when it is right. */
  readonly check: (response: InferenceResponse, index: number, answers: LevelAnswers) => string | undefined;
}

/** Bare onnxruntime's first output for every image, by model: float32 [BENCH_IMAGES, classes]. */
export type LevelAnswers = ReadonlyMap<string, Float32Array>;

/** All workloads, in the order in which they run. */
export function createWorkloads(images: Images, levels: readonly string[]): Workload[] {
  const last = levels.slice(-1);
  return [
    identity("identity-small", [1, 16]),
    identity("identity-image", [1, 3, 224, 224]),
    fashion("fashion-l-b1", "fashion-l", 1, images, last),
    fashion("fashion-l-b8", "fashion-l", 8, images, last),
    fashion("cascade-b1", "fashion", 1, images, levels),
    fashion("cascade-b8", "fashion", 8, images, levels),
    fashion("cascade-b32", "fashion", 32, images, levels),
  ];
}

function identity(name: string, shape: readonly number[]): Workload {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const inputs = Array.from({ length: IDENTITY_MESSAGES }, (_, message) =>
    Float32Array.from({ length: elements }, (_, element) => Math.sin(message * elements + element)),
  );
  return {
    name,
    model: name,
    rows: 1,
    messages: inputs.map((values) => encode(name, "INPUT0", shape, values)),
    computes: [],
    echoes: true,
    check: (response, index) => {
      const output = response.outputs.find((tensor) => tensor.name === "OUTPUT0");
      const input = inputs[index];
      if (output === undefined || input === undefined) return "there is no OUTPUT0";
      return Buffer.compare(output.data, toBytes(input)) === 0 ? undefined : "OUTPUT0 is not INPUT0";
    },
  };
}

function fashion(name: string, model: string, rows: number, images: Images, computes: readonly string[]): Workload {
  const perImage = images.pixels.length / images.count;
  const messages = Array.from({ length: Math.floor(images.count / rows) }, (_, message) => {
    const values = images.pixels.slice(message * rows * perImage, (message + 1) * rows * perImage);
    return encode(model, "image", [rows, ...images.shape.slice(1)], values);
  });
  return {
    name,
    model,
    rows,
    messages,
    computes,
    echoes: false,
    check: (response, index, answers) => {
      const output = response.outputs.find((tensor) => tensor.name === "logits");
      if (output === undefined) return "there is no output logits";
      const logits = new Float32Array(new Uint8Array(output.data).buffer);
      const classes = logits.length / rows;
      for (let row = 0; row < rows; row++) {
        const got = logits.subarray(row * classes, (row + 1) * classes);
        const image = index * rows + row;
        const known = computes.some((level) =>
          isClose(got, answers.get(level)?.subarray(image * classes, (image + 1) * classes)),
        );
        if (!known) return `the logits of image ${image} are no level's`;
      }
      return undefined;
    },
  };
}

function isClose(got: Float32Array, wanted: Float32Array | undefined): boolean {
  if (wanted === undefined || wanted.length !== got.length || got.length === 0) return false;
  return got.every((value, i) => Math.abs(value - (wanted[i] ?? 0)) <= TOLERANCE * (1 + Math.abs(value)));
}

function encode(modelName: string, input: string, shape: readonly number[], values: Float32Array): Uint8Array {
  return encodeInferRequest({
    modelName,
    modelVersion: "",
    id: "",
    parameters: NO_PARAMETERS,
    inputs: [{ name: input, datatype: "FP32", shape, data: toBytes(values) }],
    requestedOutputs: [],
  });
}

function toBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
