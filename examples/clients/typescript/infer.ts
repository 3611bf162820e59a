/**
 * Asks the demo cascade with nothing but grpc-js and the .proto file: what a client in another project looks like.
 *
 *   npm start                                              # in one terminal
 *   node_modules/.bin/node examples/clients/typescript/infer.ts [localhost:8001]
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import {
  type ChannelCredentials,
  type Client,
  credentials,
  loadPackageDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = fileURLToPath(new URL("../../../proto/kserve/grpc_service.proto", import.meta.url));
const DEMO = new URL("../../fashion-mnist/", import.meta.url);
const BATCH = 8;
const PIXELS = 28 * 28;

/** The part of ModelInferResponse that is read here; field names as in the .proto file (keepCase). */
interface ModelInferResponse {
  readonly model_name: string;
  readonly model_version: string;
  readonly outputs: readonly { readonly name: string }[];
  readonly raw_output_contents: readonly Buffer[];
  readonly parameters: Readonly<Record<string, { readonly string_param?: string; readonly int64_param?: string }>>;
}

interface InferenceService extends Client {
  ModelInfer(
    request: object,
    options: { deadline: number },
    callback: (error: ServiceError | null, response: ModelInferResponse) => void,
  ): void;
}

type ServiceConstructor = new (address: string, credentials: ChannelCredentials) => Client;

function connect(address: string): InferenceService {
  const definition = loadSync(PROTO, { keepCase: true, longs: String });
  const { inference } = loadPackageDefinition(definition) as unknown as {
    inference: { GRPCInferenceService: ServiceConstructor };
  };
  return new inference.GRPCInferenceService(address, credentials.createInsecure()) as InferenceService;
}

/** The first images of the demo's test set: FP32 [count, 1, 28, 28] in 0..1. */
function testImages(count: number): Buffer {
  const idx = gunzipSync(readFileSync(new URL("data/test-images-idx3-ubyte.gz", DEMO)));
  const pixels = Float32Array.from(idx.subarray(16, 16 + count * PIXELS), (pixel) => pixel / 255);
  return Buffer.from(pixels.buffer);
}

function infer(service: InferenceService, request: object): Promise<ModelInferResponse> {
  return new Promise((resolve, reject) => {
    service.ModelInfer(request, { deadline: Date.now() + 10_000 }, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });
}

/** A raw output as little-endian 4-byte numbers. */
function output(response: ModelInferResponse, name: string): DataView {
  const raw = response.raw_output_contents[response.outputs.findIndex((tensor) => tensor.name === name)];
  if (raw === undefined) throw new Error(`no output ${name}`);
  return new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
}

const address = process.argv[2] ?? "localhost:8001";
const service = connect(address);
try {
  const response = await infer(service, {
    model_name: "fashion",
    inputs: [{ name: "image", datatype: "FP32", shape: [BATCH, 1, 28, 28] }],
    raw_input_contents: [testImages(BATCH)],
  });
  const labels = readFileSync(new URL("models/fashion/labels.txt", DEMO), "utf8").trimEnd().split("\n");
  const logits = output(response, "logits");
  for (let row = 0; row < BATCH; row++) {
    const scores = Array.from({ length: 10 }, (_, i) => logits.getFloat32((row * 10 + i) * 4, true));
    const label = labels[scores.indexOf(Math.max(...scores))] ?? "?";
    const level = output(response, "CASCADE_LEVEL").getInt32(row * 4, true);
    const confidence = output(response, "CASCADE_CONFIDENCE").getFloat32(row * 4, true);
    console.log(`${label.padEnd(12)} level ${level}  confidence ${(100 * confidence).toFixed(1)} %`);
  }
  const rows = response.parameters["cascade_rows_per_level"]?.string_param;
  console.log(`${response.model_name} version ${response.model_version}; rows answered at each level: ${rows}`);
} catch (error) {
  console.error(`${address}: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  service.close();
}
