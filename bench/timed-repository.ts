/** Models of known service times for bench/simulate.ts: identity models that wait, alone and as a cascade. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../planner/cascade/random.ts";
import { encodeInferRequest } from "../proto/codec/encode-request.ts";
import { NO_PARAMETERS } from "../proto/inference.ts";

export interface TimedModel {
  readonly name: string;
  readonly executeMs: number;
  readonly instances: number;
  readonly maxBatch: number;
}

export const TIMED_MODEL: TimedModel = { name: "timed", executeMs: 20, instances: 2, maxBatch: 4 };
export const TIMED_CASCADE = "timed-cascade";
export const TIMED_LEVELS: readonly TimedModel[] = [
  { name: "timed-0", executeMs: 5, instances: 1, maxBatch: 8 },
  { name: "timed-1", executeMs: 15, instances: 1, maxBatch: 4 },
  { name: "timed-2", executeMs: 40, instances: 2, maxBatch: 2 },
];
/** Share of the rows that each level answers. */
const EXITS = [0.7, 0.2, 0.1];
/** Scores of a row that leaves the cascade at its first, second or last level, by its confidence. */
const ROWS = [
  [8, 0, 0, 0],
  [1, 0, 0, 0],
  [0, 0, 0, 0],
] as const;
const REQUESTS = 2000;
const TENSORS = `input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
`;

export function writeTimedRepository(repository: string): void {
  for (const model of [TIMED_MODEL, ...TIMED_LEVELS]) writeModel(repository, model);
  const confidence = { function: "max_prob", kind: "logits", params: {}, outputs: { scores: "OUTPUT0" } };
  const file = {
    formatVersion: 1,
    levels: TIMED_LEVELS.map(({ name }) => ({ model: name, version: "1", confidence })),
    operatingPoints: [{ name: "by-row", gates: [{ accept: 0.9 }, { accept: 0.4 }], certificate: null }],
    default: "by-row",
  };
  mkdirSync(join(repository, TIMED_CASCADE, "1"), { recursive: true });
  writeFileSync(join(repository, TIMED_CASCADE, "1", "cascade.json"), JSON.stringify(file));
  writeFileSync(
    join(repository, TIMED_CASCADE, "config.pbtxt"),
    `name: "${TIMED_CASCADE}"
backend: "cascade"
max_batch_size: 64
${TENSORS}parameters { key: "operating_point" value { string_value: "by-row" } }
parameters { key: "on_drift" value { string_value: "ignore" } }
`,
  );
}

function writeModel(repository: string, { name, executeMs, instances, maxBatch }: TimedModel): void {
  mkdirSync(join(repository, name, "1"), { recursive: true });
  writeFileSync(
    join(repository, name, "config.pbtxt"),
    `name: "${name}"
backend: "identity"
max_batch_size: ${maxBatch}
${TENSORS}instance_group [ { count: ${instances} kind: KIND_CPU } ]
dynamic_batching { }
parameters { key: "execute_delay_ms" value { string_value: "${executeMs}" } }
`,
  );
}

/** Requests of one row each, and the level that answers each. */
export function timedRequests(model: string): { readonly messages: Uint8Array[]; readonly exits: number[] } {
  const random = seededRandom(7);
  const exits = Array.from({ length: REQUESTS }, () => {
    const draw = random();
    return draw < (EXITS[0] ?? 0) ? 0 : draw < (EXITS[0] ?? 0) + (EXITS[1] ?? 0) ? 1 : 2;
  });
  const messages = exits.map((exit) => {
    const values = Float32Array.from(ROWS[exit] ?? []);
    const input = { name: "INPUT0", datatype: "FP32", shape: [1, 4], data: new Uint8Array(values.buffer) } as const;
    return encodeInferRequest({
      modelName: model,
      modelVersion: "",
      id: "",
      parameters: NO_PARAMETERS,
      inputs: [input],
      requestedOutputs: [],
    });
  });
  return { messages, exits };
}
