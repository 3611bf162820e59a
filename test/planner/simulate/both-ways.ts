/** Plays one case twice: through the server's scheduler on a virtual clock, and through the simulator's event core. */
import { seededRandom } from "../../../planner/cascade/random.ts";
import type { Fleet, ServiceTimes } from "../../../planner/fleet.ts";
import { Engine } from "../../../planner/simulate/engine.ts";
import { Entries } from "../../../planner/simulate/entry.ts";
import { buildMachinery } from "../../../planner/simulate/machinery.ts";
import { SimulatedShadows } from "../../../planner/simulate/shadows.ts";
import { waySource, waysOfConfidences } from "../../../planner/simulate/ways.ts";
import { Window } from "../../../planner/simulate/window.ts";
import type { Gate } from "../../../proto/files/cascade-file.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import type { BatchPolicy } from "../../../scheduler/batcher.ts";
import { CascadeModel } from "../../../scheduler/cascade/cascade-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../../scheduler/instance.ts";
import { cascadeFile, level as cascadeLevel, confidentAs, point } from "../../support/cascades.ts";
import { floats, fp32, request, signature, spec } from "../../support/tensors.ts";
import { fleet, level, stage } from "./fleets.ts";

/** A level of a case: its batching, and milliseconds of a batch by its rows on each instance. */
export interface CaseLevel {
  readonly batch: BatchPolicy;
  readonly instances: number;
  readonly serviceMs: (rows: number) => number;
}

export interface Case {
  readonly arrivalsMs: readonly number[];
  readonly rowsPerRequest: number;
  readonly levels: readonly CaseLevel[];
  /** One for every level but the last. */
  readonly gates: readonly Gate[];
  /** confidences[k][row], FP32. */
  readonly confidences: readonly Float32Array[];
  readonly shadowShare: number;
}

export interface Batch {
  readonly startMs: number;
  readonly instance: number;
  /** -1 for a row of a shadow. */
  readonly rows: readonly number[];
}

export interface Run {
  /** By level, in the order in which they started. */
  readonly batches: readonly (readonly Batch[])[];
  readonly finishedMs: readonly number[];
  readonly shadowRows: number;
  readonly shadowRowsDropped: number;
}

const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

/** Every number of rows takes a time of its own: Infinity for none. */
class CaseInstance implements ModelInstance {
  readonly name: string;
  readonly #clock: VirtualClock;
  readonly #level: number;
  readonly #serviceMs: (rows: number) => number;
  readonly #onBatch: (rows: number[]) => void;

  constructor(
    clock: VirtualClock,
    level: number,
    serviceMs: (rows: number) => number,
    onBatch: (rows: number[]) => void,
  ) {
    this.name = `level ${level}`;
    this.#clock = clock;
    this.#level = level;
    this.#serviceMs = serviceMs;
    this.#onBatch = onBatch;
  }

  execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const rows = requests.flatMap(rowsOf);
    this.#onBatch(rows);
    const executeMs = this.#serviceMs(rows.length);
    const answer = confidentAs(this.#level);
    return new Promise((resolve) => {
      this.#clock.at(this.#clock.now() + executeMs, () => {
        const timing = { computeInputMs: 0, computeInferMs: executeMs, computeOutputMs: 0 };
        resolve({ outputs: requests.map(answer), timing });
      });
    });
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

/** Numbers of the rows of a request: the last column of its input. */
function rowsOf({ inputs }: InferenceRequest): number[] {
  const input = inputs[0];
  const width = input?.shape[1] ?? 1;
  return floats(input).filter((_, i) => i % width === width - 1);
}

export async function playOnServer(one: Case): Promise<Run> {
  const clock = new VirtualClock();
  const width = one.levels.length + 1;
  const batches: Batch[][] = one.levels.map(() => []);
  const answered = new Set<number>();
  const models = one.levels.map(({ batch, instances, serviceMs }, k) => {
    return new BatchedModel({
      signature: signature({
        name: `m${k}`,
        inputs: [spec("x", [width])],
        outputs: [spec("scores", [2])],
        maxBatchSize: batch.maxBatchSize,
      }),
      instances: Array.from({ length: instances }, (_, instance) => {
        return new CaseInstance(clock, k, serviceMs, (rows) => {
          // Rows of an answered request come again only as shadows.
          const known = rows.map((row) => (answered.has(Math.floor(row / one.rowsPerRequest)) ? -1 : row));
          batches[k]?.push({ startMs: clock.now(), instance, rows: known });
        });
      }),
      batching: batch,
      queuePolicy: QUEUE,
      clock,
    });
  });
  const file = cascadeFile(
    models.map((model) => cascadeLevel(model.signature.name)),
    [point("AP", one.gates)],
  );
  const cascade = new CascadeModel({
    signature: signature({
      name: "c",
      maxBatchSize: 1024,
      inputs: [spec("x", [width])],
      outputs: [spec("scores", [2])],
    }),
    file,
    models,
    operatingPoint: "AP",
    selectablePoints: new Set(["AP"]),
    clock,
    shadowShare: one.shadowShare,
    onDrift: "ignore",
  });
  const finishedMs = one.arrivalsMs.map(() => Number.NaN);
  const failures: unknown[] = [];
  one.arrivalsMs.forEach((timeMs, i) => {
    clock.at(timeMs, () => {
      cascade.infer(requestOf(one, i)).then(
        () => {
          finishedMs[i] = clock.now();
          answered.add(i);
        },
        (error: unknown) => failures.push(error),
      );
    });
  });
  await clock.advance((one.arrivalsMs.at(-1) ?? 0) + 1e6);
  if (failures.length > 0) throw failures[0];
  const { shadowRows, shadowRowsDropped } = cascade.cascadeStatistics;
  return { batches, finishedMs, shadowRows, shadowRowsDropped };
}

function requestOf({ rowsPerRequest, confidences }: Case, i: number): InferenceRequest {
  const values: number[] = [];
  for (let row = i * rowsPerRequest; row < (i + 1) * rowsPerRequest; row++) {
    values.push(...confidences.map((level) => level[row] ?? Number.NaN), row);
  }
  const shape = [rowsPerRequest, confidences.length + 1];
  return request({ id: String(i), modelName: "c", inputs: [fp32("x", shape, values)] });
}

export function playInSimulator(one: Case): Run {
  const entries = new Entries(one.arrivalsMs.length * one.rowsPerRequest);
  const machinery = buildMachinery(fleetOf(one), entries, seededRandom(1));
  const batches: Batch[][] = one.levels.map(() => []);
  const firstReplica: number[] = [];
  one.levels.reduce((sum, { instances }, k) => {
    firstReplica[k] = sum;
    return sum + instances;
  }, 0);
  const ways = waysOfConfidences(one.confidences, one.arrivalsMs.length * one.rowsPerRequest, one.gates);
  const shadows = new SimulatedShadows(one.shadowShare, 1, one.levels.at(-1)?.batch.maxBatchSize ?? 1);
  const engine = new Engine(
    machinery,
    {
      arrivalsMs: Float64Array.from(one.arrivalsMs),
      rowsPerRequest: one.rowsPerRequest,
      nextWay: waySource({ kind: "recorded", ways, order: "sequence" }, seededRandom(1)),
      shadows,
      mostQueued: Number.POSITIVE_INFINITY,
      window: new Window(0, 1e9),
    },
    ({ level: k, replica, startMs, rows }) => {
      batches[k]?.push({ startMs, instance: replica - (firstReplica[k] ?? 0), rows });
    },
  );
  engine.run();
  return {
    batches,
    finishedMs: [...engine.finishedMs],
    shadowRows: shadows.rows,
    shadowRowsDropped: shadows.droppedRows,
  };
}

/** Every instance on a device of its own. */
function fleetOf(one: Case): Fleet {
  let device = 0;
  return fleet({
    levels: one.levels.map(({ batch, serviceMs }, k) => {
      const batchSizes = Array.from({ length: batch.maxBatchSize }, (_, i) => i + 1);
      const times: ServiceTimes = { batchSizes, samplesMs: batchSizes.map((rows) => [serviceMs(rows)]) };
      return level(`m${k}`, [stage(`m${k}`, times)], batch);
    }),
    replicas: one.levels.flatMap(({ instances }, k) =>
      Array.from({ length: instances }, () => [k, 0, device++] as const),
    ),
  });
}
