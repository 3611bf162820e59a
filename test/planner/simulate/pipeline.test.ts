/** Stages of a level against the server's `StagePipeline` on a virtual clock: same batches, copies and times. */
import assert from "node:assert/strict";
import test from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { Engine } from "../../../planner/simulate/engine.ts";
import { Entries } from "../../../planner/simulate/entry.ts";
import { buildMachinery } from "../../../planner/simulate/machinery.ts";
import { SimulatedShadows } from "../../../planner/simulate/shadows.ts";
import { Window } from "../../../planner/simulate/window.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import type { BatchPolicy } from "../../../scheduler/batcher.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../../scheduler/instance.ts";
import { StagePipeline } from "../../../scheduler/pipeline/stage-pipeline.ts";
import { floats, fp32, request, signature, spec } from "../../support/tensors.ts";
import { fleet, level, policy, randomTimes, stage } from "./fleets.ts";

interface CaseStage {
  readonly copies: number;
  readonly serviceMs: (rows: number) => number;
}

interface Run {
  /** By stage: start, copy and rows of each batch. */
  readonly batches: readonly { readonly startMs: number; readonly copy: number; readonly rows: readonly number[] }[][];
  readonly finishedMs: readonly number[];
}

const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

/** A copy of a stage that hands its input on under the next name. */
class CaseCopy implements ModelInstance {
  readonly name = "copy";
  readonly #clock: VirtualClock;
  readonly #output: string;
  readonly #serviceMs: (rows: number) => number;
  readonly #onBatch: (rows: number[]) => void;

  constructor(clock: VirtualClock, output: string, { serviceMs }: CaseStage, onBatch: (rows: number[]) => void) {
    this.#clock = clock;
    this.#output = output;
    this.#serviceMs = serviceMs;
    this.#onBatch = onBatch;
  }

  execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const inputs = requests.flatMap(({ inputs: [input] }) => (input === undefined ? [] : [input]));
    const rows = inputs.flatMap((input) => floats(input));
    this.#onBatch(rows);
    const executeMs = this.#serviceMs(rows.length);
    return new Promise((resolve) => {
      this.#clock.at(this.#clock.now() + executeMs, () => {
        const timing = { computeInputMs: 0, computeInferMs: executeMs, computeOutputMs: 0 };
        resolve({ outputs: inputs.map((input) => [{ ...input, name: this.#output }]), timing });
      });
    });
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

async function onServer(arrivalsMs: readonly number[], stages: readonly CaseStage[], batch: BatchPolicy): Promise<Run> {
  const clock = new VirtualClock();
  const batches: Run["batches"] = stages.map(() => []);
  const own = signature({
    inputs: [spec("t0", [1])],
    outputs: [spec(`t${stages.length}`, [1])],
    maxBatchSize: batch.maxBatchSize,
  });
  const pipeline = new StagePipeline(
    own,
    stages.map((one, s) => ({
      id: `s${s}`,
      inputs: [`t${s}`],
      outputs: [`t${s + 1}`],
      instances: Array.from({ length: one.copies }, (_, copy) => {
        return new CaseCopy(clock, `t${s + 1}`, one, (rows) => batches[s]?.push({ startMs: clock.now(), copy, rows }));
      }),
    })),
    clock,
  );
  const model = new BatchedModel({
    signature: own,
    instances: pipeline.heads,
    batching: batch,
    queuePolicy: QUEUE,
    clock,
  });
  const finishedMs = arrivalsMs.map(() => Number.NaN);
  const failures: unknown[] = [];
  arrivalsMs.forEach((timeMs, i) => {
    clock.at(timeMs, () => {
      model.infer(request({ inputs: [fp32("t0", [1, 1], [i])] })).then(
        () => {
          finishedMs[i] = clock.now();
        },
        (error: unknown) => failures.push(error),
      );
    });
  });
  await clock.advance((arrivalsMs.at(-1) ?? 0) + 1e6);
  if (failures.length > 0) throw failures[0];
  return { batches, finishedMs };
}

function inSimulator(arrivalsMs: readonly number[], stages: readonly CaseStage[], batch: BatchPolicy): Run {
  const batchSizes = Array.from({ length: batch.maxBatchSize }, (_, i) => i + 1);
  let device = 0;
  const firstReplica = stages.map((_, s) => stages.slice(0, s).reduce((sum, { copies }) => sum + copies, 0));
  const machinery = buildMachinery(
    fleet({
      levels: [
        level(
          "m",
          stages.map(({ serviceMs }, s) =>
            stage(`s${s}`, { batchSizes, samplesMs: batchSizes.map((rows) => [serviceMs(rows)]) }),
          ),
          batch,
        ),
      ],
      replicas: stages.flatMap(({ copies }, s) => Array.from({ length: copies }, () => [0, s, device++] as const)),
    }),
    new Entries(arrivalsMs.length),
    seededRandom(1),
  );
  const batches: Run["batches"] = stages.map(() => []);
  const engine = new Engine(
    machinery,
    {
      arrivalsMs: Float64Array.from(arrivalsMs),
      rowsPerRequest: 1,
      nextWay: () => 1,
      shadows: new SimulatedShadows(0, 1, 1),
      mostQueued: Number.POSITIVE_INFINITY,
      window: new Window(0, 1e9),
    },
    ({ stage: s, replica, startMs, rows }) => {
      batches[s]?.push({ startMs, copy: replica - (firstReplica[s] ?? 0), rows });
    },
  );
  engine.run();
  return { batches, finishedMs: [...engine.finishedMs] };
}

async function same(arrivalsMs: readonly number[], stages: readonly CaseStage[], batch: BatchPolicy): Promise<void> {
  const server = await onServer(arrivalsMs, stages, batch);
  assert.deepEqual(inSimulator(arrivalsMs, stages, batch), server);
  assert.ok(server.finishedMs.every((time) => time > 0));
}

test("three stages, one copy each: the middle one holds the first up", async () => {
  const stages: CaseStage[] = [
    { copies: 1, serviceMs: (rows) => 2 + 0.3 * rows },
    { copies: 1, serviceMs: (rows) => 7 + 0.9 * rows },
    { copies: 1, serviceMs: (rows) => 3 + 0.1 * rows },
  ];
  await same(randomTimes(200, 2.5, 21), stages, policy(4, { maxQueueDelayMs: 1 }));
});

test("stages with several copies, the last one the slowest", async () => {
  const stages: CaseStage[] = [
    { copies: 2, serviceMs: (rows) => 3 + 0.37 * rows },
    { copies: 1, serviceMs: (rows) => 2 + 0.21 * rows },
    { copies: 3, serviceMs: (rows) => 17 + 1.13 * rows },
  ];
  await same(randomTimes(200, 2, 22), stages, policy(6));
  await same(randomTimes(200, 9, 23), stages, policy(6, { preferredBatchSizes: [2, 6], maxQueueDelayMs: 6 }));
});
