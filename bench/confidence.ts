/**
 * `node bench/confidence.ts`: microseconds of CPU that a confidence function takes per row, by the length of the row
 * and the type of its scores. One process; each figure is the median of several rounds.
 */
import { cpuUsage } from "node:process";
import type { DataType } from "../proto/datatypes.ts";
import type { ConfidenceFunction } from "../proto/files/cascade-file.ts";
import type { Tensor } from "../proto/tensor.ts";
import { topkFeatureCount } from "../scheduler/confidence/class-functions.ts";
import { confidenceOf } from "../scheduler/confidence/confidence.ts";
import { alignColumns, digits } from "./report.ts";
import { median } from "./statistics.ts";

const ROUNDS = 7;
const ROUND_MS = 60;
const K = 10;
/** Classes and rows of a call: 1 row shows what a call costs by itself. */
const SHAPES = [
  [10, 1],
  [10, 32],
  [10, 1024],
  [1000, 32],
  [50_000, 4],
] as const;
const TYPES: readonly DataType[] = ["FP32", "FP16", "FP64"];

const zeros = new Array<number>(topkFeatureCount(K)).fill(0);
const ones = zeros.map(() => 1);
const PARAMS: Readonly<Record<string, ConfidenceFunction["params"]>> = {
  max_prob: {},
  entropy: {},
  platt: { alpha: 1.5, beta: 0.2 },
  isotonic: { x: [0.1, 0.5, 0.9], y: [0.2, 0.5, 1] },
  logistic_topk: { k: K, mean: zeros, scale: ones, weights: zeros, intercept: 0 },
};

const table = [["function", "classes", "rows a call", ...TYPES.map((type) => `${type} us/row`)]];
for (const [name, params] of Object.entries(PARAMS)) {
  const confidence = confidenceOf({ function: name, kind: "logits", params, outputs: { scores: "logits" } });
  for (const [classes, rows] of SHAPES) {
    const figures = TYPES.map((type) => {
      const scores = scoresOf(type, rows, classes);
      return digits(cpuUs(() => confidence(() => scores, rows)) / rows);
    });
    table.push([name, classes.toLocaleString("en-GB"), String(rows), ...figures]);
  }
}
console.log(alignColumns(table));

/** Logits between -8 and 8, the same every time. */
function scoresOf(datatype: DataType, rows: number, classes: number): Tensor {
  const logits = Float64Array.from({ length: rows * classes }, (_, i) => 8 * Math.sin(i * 12.9898));
  const bytes =
    datatype === "FP64" ? logits : datatype === "FP32" ? Float32Array.from(logits) : Uint16Array.from(logits, toHalf);
  return { name: "logits", datatype, shape: [rows, classes], data: new Uint8Array(bytes.buffer) };
}

/** binary16 bits of a number between 2^-14 and 65504 in size, cut off; smaller ones are 0. */
function toHalf(value: number): number {
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  if (!(exponent >= -14)) return 0;
  const fraction = Math.floor((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

/** Microseconds of CPU of one call, median of the rounds; the first warms up. */
function cpuUs(run: () => unknown): number {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => {
    const startMs = performance.now();
    const start = cpuUsage();
    let calls = 0;
    while (performance.now() - startMs < ROUND_MS) {
      for (let i = 0; i < 4; i++) run();
      calls += 4;
    }
    const used = cpuUsage(start);
    return (used.user + used.system) / calls;
  });
  return median(rounds.slice(1));
}
