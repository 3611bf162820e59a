/**
 * `node bench/codec.ts`: nanoseconds per message of our ModelInfer codec, beside proto-loader's for the same bytes.
 * One process, no sockets; each figure is the median of several rounds.
 */
import { decodeInferRequest } from "../proto/codec/decode-request.ts";
import { encodeInferRequest } from "../proto/codec/encode-request.ts";
import { InferResponseMessage, toBytes } from "../proto/codec/encode-response.ts";
import { toInferenceRequest } from "../proto/codec/resolve-inputs.ts";
import { NO_PARAMETERS } from "../proto/inference.ts";
import { TRITON_LIMITS } from "../proto/limits.ts";
import { loadServices } from "../proto/load.ts";
import type { Tensor } from "../proto/tensor.ts";
import { alignColumns, digits } from "./report.ts";
import { median } from "./statistics.ts";

const ROUNDS = 5;
const ROUND_MS = 40;
const SHAPES = [
  [1, 16],
  [1, 1, 28, 28],
  [32, 1, 28, 28],
  [1, 3, 224, 224],
];

const rows = [["message", "bytes", "decode us", "proto-loader", "encode us", "proto-loader"]];
const method = loadServices().inference["ModelInfer"];
if (method === undefined) throw new Error("the service definition has no ModelInfer");
for (const shape of SHAPES) {
  const data = new Uint8Array(4 * shape.reduce((product, dim) => product * dim, 1)).fill(63);
  const tensor: Tensor = { name: "INPUT0", datatype: "FP32", shape, data };
  const names = { modelName: "identity", modelVersion: "", id: "7", parameters: NO_PARAMETERS };
  const request = encodeInferRequest({ ...names, inputs: [tensor], requestedOutputs: [] });
  const response = { ...names, modelVersion: "1", outputs: [tensor] };
  const loaded = {
    model_name: "identity",
    model_version: "1",
    id: "7",
    outputs: [{ name: tensor.name, datatype: tensor.datatype, shape }],
    raw_output_contents: [data],
  };
  rows.push([
    `FP32 [${shape}]`,
    request.byteLength.toLocaleString("en-GB"),
    timeUs(() => toInferenceRequest(decodeInferRequest(request, TRITON_LIMITS), () => "FP32")),
    timeUs(() => method.requestDeserialize(request)),
    timeUs(() => toBytes(new InferResponseMessage(response))),
    timeUs(() => method.responseSerialize(loaded)),
  ]);
}
console.log(alignColumns(rows));

/** Microseconds of one call, median of the rounds. */
function timeUs(run: () => unknown): string {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => {
    const startMs = performance.now();
    let calls = 0;
    let elapsedMs = 0;
    for (; elapsedMs < ROUND_MS; elapsedMs = performance.now() - startMs) {
      for (let i = 0; i < 8; i++) run();
      calls += 8;
    }
    return (1000 * elapsedMs) / calls;
  });
  return digits(median(rounds.slice(1)));
}
