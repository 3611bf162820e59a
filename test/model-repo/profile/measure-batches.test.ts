import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allowedSizes, batchSizesUpTo } from "../../../model-repo/profile/batch-sizes.ts";
import { type MeasureOptions, measureBatches } from "../../../model-repo/profile/measure-batches.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import type { BatchProfile } from "../../../proto/files/profile-file.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../../proto/inference.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { echo, TimedInstance } from "../../support/timed-instance.ts";

function batchOf(rows: number, id: string): InferenceRequest[] {
  return Array.from({ length: rows }, () => ({
    modelName: "m",
    modelVersion: "1",
    id,
    parameters: NO_PARAMETERS,
    inputs: [],
    requestedOutputs: [],
  }));
}

/** Two instances, 10 ms a run, plenty of time. */
function setUp(change: Partial<MeasureOptions> = {}) {
  const clock = new VirtualClock();
  const instances = [new TimedInstance(clock, 10, echo, "a"), new TimedInstance(clock, 10, echo, "b")];
  const kept: BatchProfile[] = [];
  const options: MeasureOptions = {
    instances,
    batchSizes: [1, 2, 4],
    batchesOf: (size) => [batchOf(size, "first"), batchOf(size, "second")],
    samples: 8,
    deadlineMs: 1e6,
    memoryBytes: 100,
    peakBytes: () => 60,
    energyOf: async () => null,
    random: seededRandom(1),
    clock,
    onBatch: (batch) => {
      kept.push(batch);
    },
    onSamples: () => undefined,
    ...change,
  };
  return { clock, instances, kept, options };
}

async function measure({ clock, options }: ReturnType<typeof setUp>) {
  const result = measureBatches(options);
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  result.then(end, end);
  while (!isDone) await clock.advance(50);
  return result;
}

describe("measureBatches", () => {
  it("takes samples of single runs at each size, from all instances together", async () => {
    const set = setUp();
    const { batches, stopped } = await measure(set);
    assert.equal(stopped, "");
    assert.deepEqual(
      batches,
      [1, 2, 4].map((batchSize) => ({ batchSize, serviceMs: Array(8).fill(10), peakBytes: 60, energy: null })),
    );
    assert.deepEqual(set.kept, batches);
    const [a, b] = set.instances;
    for (const instance of [a, b]) {
      const sizes = new Set(instance?.batches.map((batch) => batch.length));
      assert.deepEqual([...sizes], [1, 2, 4]);
      // Runs before those that count, and about half of these.
      assert.ok((instance?.batches.length ?? 0) >= 3 * (3 + 3));
    }
  });

  it("lets devices idle between runs, as they do in service", async () => {
    const set = setUp({ samples: 400, batchSizes: [1] });
    const [only] = set.instances;
    assert.ok(only);
    await measure({ ...set, options: { ...set.options, instances: [only] } });
    const busy = (only.batches.length * 10) / set.clock.now();
    assert.ok(busy > 0.5 && busy < 0.7, `busy ${busy} of the time`);
  });

  it("takes different inputs in turn", async () => {
    const set = setUp({ batchSizes: [1], samples: 8 });
    await measure(set);
    assert.deepEqual(new Set(set.instances[0]?.batchIds), new Set(["first", "second"]));
  });

  it("stops at the time limit, says where, and has some samples of what it began", async () => {
    const set = setUp({ deadlineMs: 600, samples: 1000 });
    const { batches, stopped } = await measure(set);
    assert.deepEqual(
      batches.map(({ batchSize }) => batchSize),
      [1, 2, 4],
    );
    assert.ok(batches.every(({ serviceMs }) => serviceMs.length >= 5 && serviceMs.length < 60));
    assert.equal(stopped, "");
    const late = await measure(setUp({ deadlineMs: 100, samples: 1000 }));
    assert.deepEqual(
      late.batches.map(({ batchSize }) => batchSize),
      [1],
    );
    assert.match(late.stopped, /^time limit: batches of 2 rows and more were not measured; raise --time-limit$/);
  });

  it("stops at the class's memory", async () => {
    let peak = 50;
    const set = setUp({ peakBytes: () => (peak += 40) });
    const { batches, stopped } = await measure(set);
    assert.deepEqual(
      batches.map(({ batchSize }) => batchSize),
      [1],
    );
    assert.match(stopped, /^memory: a batch of 2 rows needs 1 MiB, a device of the class has 1 MiB$/);
  });

  it("stops at a run that fails and waits for the others", async () => {
    const set = setUp({ samples: 4 });
    const [a, b] = set.instances;
    set.clock.at(150, () => {
      if (a !== undefined) a.failure = new Error("the model chokes");
    });
    const { batches, stopped } = await measure(set);
    assert.match(stopped, /^failure at batches of \d rows: .*the model chokes/);
    assert.ok(batches.length < 3);
    const runs = b?.batches.length;
    await set.clock.advance(1000);
    assert.equal(b?.batches.length, runs);
  });

  it("measures the energy of a size on its batches", async () => {
    const seen: number[] = [];
    const set = setUp({
      energyOf: async (batches) => {
        seen.push(batches[0]?.length ?? 0);
        return { joules: 2, source: "rapl:package-0" };
      },
    });
    const { batches } = await measure(set);
    assert.deepEqual(seen, [1, 2, 4]);
    assert.deepEqual(batches[2]?.energy, { joules: 2, source: "rapl:package-0" });
  });
});

describe("batch sizes", () => {
  it("are powers of two and the largest", () => {
    assert.deepEqual(batchSizesUpTo(0), [1]);
    assert.deepEqual(batchSizesUpTo(1), [1]);
    assert.deepEqual(batchSizesUpTo(8), [1, 2, 4, 8]);
    assert.deepEqual(batchSizesUpTo(12), [1, 2, 4, 8, 12]);
  });

  it("that were asked for are those that the model takes", () => {
    assert.deepEqual(allowedSizes([8, 1, 8, 64], 16), [1, 8]);
    assert.deepEqual(allowedSizes([1, 2], 0), [1]);
  });
});
