/**
 * The simulator's event core against the server's scheduler on a virtual clock: same arrivals, same rows, same batches
 * on the same instances at the same times, to the last bit. Times on a grid make many events fall together.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { normal, seededRandom } from "../../../planner/cascade/random.ts";
import { NEVER } from "../../../proto/files/cascade-file.ts";
import { gate } from "../../support/cascades.ts";
import { type Case, type CaseLevel, playInSimulator, playOnServer } from "./both-ways.ts";
import { policy, randomTimes } from "./fleets.ts";

/** Confidences of two classes, 0.5 to 1, that rise with the level and belong together. */
function confidences(rows: number, levels: number, seed: number): Float32Array[] {
  const random = seededRandom(seed);
  const hardness = Float64Array.from({ length: rows }, () => normal(random, 0, 1));
  return Array.from({ length: levels }, (_, k) =>
    Float32Array.from(hardness, (hard) => 0.5 + 0.5 / (1 + Math.exp(hard - k + normal(random, 0, 0.5)))),
  );
}

async function same(one: Case): Promise<void> {
  const server = await playOnServer(one);
  const simulated = playInSimulator(one);
  assert.deepEqual(simulated.batches, server.batches);
  assert.deepEqual(simulated.finishedMs, server.finishedMs);
  assert.equal(simulated.shadowRows, server.shadowRows);
  assert.equal(simulated.shadowRowsDropped, server.shadowRowsDropped);
  assert.ok(server.finishedMs.every((time) => time > 0));
}

const alone = { gates: [], shadowShare: 0 };

test("one model: dynamic batches with preferred sizes and a queue delay", async () => {
  const batch = policy(8, { preferredBatchSizes: [4, 8], maxQueueDelayMs: 5 });
  const levels: CaseLevel[] = [{ batch, instances: 2, serviceMs: (rows) => 6 + 0.7 * rows }];
  const arrivalsMs = randomTimes(200, 1.6, 11);
  await same({ ...alone, arrivalsMs, rowsPerRequest: 1, levels, confidences: confidences(200, 1, 1) });
});

test("one model: requests of several rows, arrivals and ends on a grid", async () => {
  for (const maxQueueDelayMs of [0, 3]) {
    const batch = policy(6, { maxQueueDelayMs });
    const levels: CaseLevel[] = [{ batch, instances: 3, serviceMs: () => 10 }];
    const arrivalsMs = randomTimes(150, 4, 12, 5);
    await same({ ...alone, arrivalsMs, rowsPerRequest: 4, levels, confidences: confidences(600, 1, 2) });
  }
});

test("a cascade of three levels with recorded confidences, skips and requests of several rows", async () => {
  const levels: CaseLevel[] = [
    { batch: policy(8, { preferredBatchSizes: [8] }), instances: 1, serviceMs: (rows) => 1 + 0.2 * rows },
    { batch: policy(8, { maxQueueDelayMs: 4 }), instances: 1, serviceMs: (rows) => 3 + 0.5 * rows },
    { batch: policy(4), instances: 2, serviceMs: (rows) => 9 + 2 * rows },
  ];
  const gates = [gate(0.85, [0.62]), gate(0.8)];
  for (const rowsPerRequest of [1, 5]) {
    const arrivalsMs = randomTimes(150, 3 * rowsPerRequest, 13);
    await same({
      arrivalsMs,
      rowsPerRequest,
      levels,
      gates,
      confidences: confidences(150 * rowsPerRequest, 3, 3),
      shadowShare: 0,
    });
  }
});

test("a cascade on a grid of times, requests larger than a batch of the next level", async () => {
  const levels: CaseLevel[] = [
    { batch: policy(16), instances: 2, serviceMs: () => 2 },
    { batch: policy(3, { maxQueueDelayMs: 2 }), instances: 1, serviceMs: () => 2 },
    { batch: policy(2), instances: 3, serviceMs: () => 4 },
  ];
  const arrivalsMs = randomTimes(60, 6, 14, 2);
  await same({
    arrivalsMs,
    rowsPerRequest: 10,
    levels,
    gates: [gate(0.9), gate(0.8)],
    confidences: confidences(600, 3, 4),
    shadowShare: 0,
  });
});

test("shadows: the same rows at the same times, with as many dropped", async () => {
  const levels: CaseLevel[] = [
    { batch: policy(8), instances: 1, serviceMs: (rows) => 1 + 0.2 * rows },
    { batch: policy(4), instances: 1, serviceMs: (rows) => 6 + rows },
  ];
  const one = { rowsPerRequest: 3, levels, gates: [gate(0.75)], confidences: confidences(600, 2, 5) };
  await same({ ...one, arrivalsMs: randomTimes(200, 25, 15), shadowShare: 0.2 });
  await same({ ...one, arrivalsMs: randomTimes(200, 8, 15), shadowShare: 1 });
});

test("a point that enters at the last level", async () => {
  const levels: CaseLevel[] = [
    { batch: policy(8), instances: 1, serviceMs: () => 1 },
    { batch: policy(8), instances: 1, serviceMs: (rows) => 4 + rows },
  ];
  const gates = [gate(NEVER)];
  const arrivalsMs = randomTimes(100, 4, 16);
  await same({ arrivalsMs, rowsPerRequest: 2, levels, gates, confidences: confidences(200, 2, 6), shadowShare: 0.5 });
});
