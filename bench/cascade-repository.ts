/** What bench/cascade.ts serves and asks: the demo cascade with its levels, and a cascade whose levels compute nothing. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IMAGE_SIDE, imageBytes, readTestSet } from "../examples/fashion-mnist/dataset.ts";
import { FITTED_SHARES, splitRows } from "../planner/cascade/splits.ts";
import { encodeInferRequest } from "../proto/codec/encode-request.ts";
import type { CascadeFile } from "../proto/files/cascade-file.ts";
import { parseCascadeFile } from "../proto/files/read-cascade-file.ts";
import { rowHashes } from "../proto/files/row-hash.ts";
import { NO_PARAMETERS, type Parameters } from "../proto/inference.ts";
import { DEMO_FOLDER } from "./repository.ts";

export const CASCADE = "fashion";
/** A multiple of every client batch, so that all ask the same images. */
const LARGEST_BATCH = 32;

/** Copies the demo cascade and its levels; returns what its highest version says. */
export function writeCascadeRepository(repository: string): CascadeFile {
  const models = join(DEMO_FOLDER, "models");
  const versions = readdirSync(join(models, CASCADE)).filter((name) => /^\d+$/.test(name));
  const version = Math.max(...versions.map(Number));
  const path = join(models, CASCADE, String(version), "cascade.json");
  const file = parseCascadeFile(readFileSync(path, "utf8"), path);
  for (const model of [CASCADE, ...file.levels.map((level) => level.model)]) {
    cpSync(join(models, model), join(repository, model), { recursive: true });
  }
  return file;
}

/** Test images of the certify split alone: rows that neither a confidence nor a threshold was chosen on. */
export interface LabelledImages {
  readonly count: number;
  readonly labels: Uint8Array;
  /** FP32 [count, 1, 28, 28]. */
  readonly data: Uint8Array;
}

export function certifyImages(): LabelledImages {
  const testSet = readTestSet();
  const shape = [testSet.count, 1, IMAGE_SIDE, IMAGE_SIDE];
  const all = imageBytes(testSet, 0, testSet.count);
  const { certify } = splitRows(rowHashes([{ name: "image", datatype: "FP32", shape, data: all }]), FITTED_SHARES);
  const count = certify.length - (certify.length % LARGEST_BATCH);
  const rows = certify.subarray(0, count);
  return {
    count,
    labels: Uint8Array.from(rows, (row) => testSet.labels[row] ?? 0),
    data: Buffer.concat(Array.from(rows, (row) => imageBytes(testSet, row, 1))),
  };
}

/** Requests of `batch` images each; `point`: the operating point that they name. */
export function imageRequests(images: LabelledImages, model: string, batch: number, point?: string): Uint8Array[] {
  const parameters: Parameters =
    point === undefined ? NO_PARAMETERS : new Map([["cascade_operating_point", { kind: "string", value: point }]]);
  const bytes = (images.data.byteLength / images.count) * batch;
  return Array.from({ length: images.count / batch }, (_, i) =>
    request(
      model,
      "image",
      [batch, 1, IMAGE_SIDE, IMAGE_SIDE],
      images.data.subarray(i * bytes, (i + 1) * bytes),
      parameters,
    ),
  );
}

/** Cascade of three identity models: the row's own scores are each level's answer, and no level computes anything. */
export const EMPTY_CASCADE = "empty-cascade";
export const EMPTY_LEVELS = ["empty-0", "empty-1", "empty-2"] as const;

/** Row that leaves the cascade at its first, second or last level, by its confidence. */
const EMPTY_ROWS = [
  [8, 0, 0, 0],
  [1, 0, 0, 0],
  [0, 0, 0, 0],
] as const;

export function writeEmptyCascade(repository: string): void {
  const tensors = (extra: string) => `max_batch_size: 64
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
${extra}`;
  for (const model of EMPTY_LEVELS) {
    mkdirSync(join(repository, model, "1"), { recursive: true });
    writeFileSync(
      join(repository, model, "config.pbtxt"),
      `name: "${model}"\nbackend: "identity"\n${tensors("dynamic_batching { }\n")}`,
    );
  }
  const confidence = { function: "max_prob", kind: "logits", params: {}, outputs: { scores: "OUTPUT0" } };
  const file = {
    formatVersion: 1,
    levels: EMPTY_LEVELS.map((model) => ({ model, version: "1", confidence })),
    operatingPoints: [{ name: "by-row", gates: [{ accept: 0.9 }, { accept: 0.4 }], certificate: null }],
    default: "by-row",
  };
  mkdirSync(join(repository, EMPTY_CASCADE, "1"), { recursive: true });
  writeFileSync(join(repository, EMPTY_CASCADE, "1", "cascade.json"), JSON.stringify(file));
  // One request over and over is the very drift that the watch looks for: it is told to let the point be.
  const point = `parameters { key: "operating_point" value { string_value: "by-row" } }
parameters { key: "on_drift" value { string_value: "ignore" } }
`;
  writeFileSync(
    join(repository, EMPTY_CASCADE, "config.pbtxt"),
    `name: "${EMPTY_CASCADE}"\nbackend: "cascade"\n${tensors(point)}`,
  );
}

/** One request, sent over and over, whose rows all go through `escalations` escalations. */
export function emptyRequest(model: string, batch: number, escalations: number): Uint8Array {
  const row = EMPTY_ROWS[escalations] ?? [];
  const values = Float32Array.from({ length: batch * row.length }, (_, i) => row[i % row.length] ?? 0);
  return request(model, "INPUT0", [batch, row.length], new Uint8Array(values.buffer), NO_PARAMETERS);
}

function request(
  modelName: string,
  name: string,
  shape: readonly number[],
  data: Uint8Array,
  parameters: Parameters,
): Uint8Array {
  const inputs = [{ name, datatype: "FP32" as const, shape, data }];
  return encodeInferRequest({ modelName, modelVersion: "", id: "", parameters, inputs, requestedOutputs: [] });
}
