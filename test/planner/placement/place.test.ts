import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import type { MilpSolver } from "../../../planner/placement/milp.ts";
import { type PlacementResult, place } from "../../../planner/placement/place.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage } from "./sample-problems.ts";

const WATTS_A = { bare: 5, idle: 20, active: 100, source: "test" };
const WATTS_B = { bare: 2, idle: 6, active: 30, source: "test" };

const solver = new HighsSolver();
after(() => solver.close());

/** Fleets of two classes and a cascade of two or three levels, the last one cut. */
const problems = fc
  .record({
    loads: fc.array(fc.double({ min: 0.05, max: 2, noNaN: true }), { minLength: 2, maxLength: 3 }),
    memory: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 3, maxLength: 3 }),
    stages: fc.integer({ min: 1, max: 3 }),
    slowness: fc.double({ min: 1, max: 4, noNaN: true }),
    counts: fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 })),
    room: fc.integer({ min: 8, max: 20 }),
    objective: fc.constantFrom("throughput" as const, "energy" as const),
    rate: fc.double({ min: 0.2, max: 3, noNaN: true }),
  })
  .map(({ loads, memory, stages, slowness, counts, room, objective, rate }) => {
    const slower = { a: 1, b: slowness };
    const levels = loads.map((load, k) => {
      const cuts = k === loads.length - 1 ? stages : 1;
      const own = Array.from({ length: cuts }, (_, s) => stage(`m${k}.${s}`, load / cuts, memory[k] ?? 1, slower));
      return level(`m${k}`, [option(own)], 1 / (k + 1));
    });
    return problem({
      objective,
      levels,
      rate,
      utilisationCap: 0.8,
      classes: [deviceClass("a", room, WATTS_A), deviceClass("b", 10, WATTS_B)],
      devices: [...devices("a", counts[0]), ...devices("b", counts[1])],
      relativeGap: 0.01,
    });
  });

test("every placement keeps memory, time and demand; rules alone are not better than with the solver, but for its gap", async () => {
  let placedCount = 0;
  await fc.assert(
    fc.asyncProperty(problems, async (sample) => {
      const result = await place(sample, solver);
      const byRule = await place(sample, null);
      if (result.kind === "infeasible") {
        assert.ok(result.reasons.every((reason) => reason.length > 20));
        assert.equal(byRule.kind, "infeasible");
        return;
      }
      placedCount++;
      assertSound(sample, result);
      if (byRule.kind !== "placed") return;
      assertSound(sample, byRule);
      const isNotWorse =
        sample.objective === "throughput"
          ? result.rate >= byRule.rate * (1 - sample.relativeGap)
          : (result.watts ?? 0) <= (byRule.watts ?? 0) * (1 + sample.relativeGap);
      assert.ok(isNotWorse);
    }),
    { numRuns: 40, seed: 5 },
  );
  assert.ok(placedCount > 15, `${placedCount} feasible`);
});

test("one more device, more memory or a faster class never hurts", async () => {
  for (const objective of ["throughput", "energy"] as const) {
    let before: number | null = null;
    for (let count = 3; count <= 8; count++) {
      const value = valueOfResult(await place(family({ objective, counts: [count, 2], relativeGap: 0 }), solver));
      if (before !== null) assert.ok(objective === "throughput" ? value >= before - 1e-9 : value <= before + 1e-6);
      before = value;
    }
  }
  const small = valueOfResult(await place(family({ room: 9, relativeGap: 0 }), solver));
  assert.ok(valueOfResult(await place(family({ room: 14, relativeGap: 0 }), solver)) >= small - 1e-9);
});

test("alike devices in another order give the same value; loads times c give the rate over c", async () => {
  const sample = family({});
  const value = valueOfResult(await place(sample, solver));
  const reversed = { ...sample, devices: [...sample.devices].reverse() };
  close(valueOfResult(await place(reversed, solver)), value);
  const levels = sample.levels.map((each) => ({ ...each, reach: each.reach * 2 }));
  close(valueOfResult(await place({ ...sample, levels }, solver)), value / 2);
});

test("equal problems give equal placements", async () => {
  const strip = (result: PlacementResult) => JSON.stringify({ replicas: result.fleet.replicas, rate: result.rate });
  const once = await place(family({ counts: [6, 6] }), solver);
  const twice = await place(family({ counts: [6, 6] }), solver);
  assert.ok(once.kind === "placed" && twice.kind === "placed");
  assert.equal(strip(once), strip(twice));
});

test("a tight latency objective takes the faster option, at the price of the rate; an impossible one says what is possible", async () => {
  const cheap = option([stage("slow.0", 1, 1, { a: 1 })]);
  const fast = option([stage("fast.0", 0.6, 1, { a: 1 }), stage("fast.1", 0.6, 1, { a: 1 })]);
  const make = (latencyMs: number): PlacementProblem =>
    problem({
      levels: [level("first", [option([stage("first.0", 0.01, 1, { a: 1 })])]), level("m", [cheap, fast])],
      slo: { latencyMs, percentile: 0.99 },
      devices: devices("a", 6),
      utilisationCap: 0.5,
    });
  const loose = await place(make(1e6), solver);
  assert.ok(loose.kind === "placed");
  assert.equal(loose.choice[1], 0);
  const infeasible = await place(make(900), solver);
  assert.ok(infeasible.kind === "infeasible");
  assert.match(infeasible.reasons[0] ?? "", /fastest choice answers in about .* ms .*raise the latency objective/);
  const notCounted = make(900);
  const levels = notCounted.levels.map((each) => ({ ...each, countsForLatency: each.model === "first" }));
  assert.equal((await place({ ...notCounted, levels }, solver)).kind, "placed");
});

test("spare copies lie in failure groups of their own, or the answer says that there are too few", async () => {
  const spread = (groups: number): PlacementProblem => {
    const sample = family({ counts: [6, 0] });
    const levels = sample.levels.map((each) => ({ ...each, copies: 2 }));
    const own = sample.devices.map((device, i) => ({ ...device, failureGroup: `rack${i % groups}` }));
    return { ...sample, levels, devices: own };
  };
  const two = await place(spread(2), solver);
  assert.ok(two.kind === "placed");
  const { fleet } = two;
  const groupsOf = Map.groupBy(fleet.replicas, ({ level: k, stage: s }) => `${k}.${s}`);
  for (const [id, replicas] of groupsOf) {
    const racks = new Set(replicas.map(({ device }): string | undefined => fleet.devices[device]?.failureGroup));
    assert.equal(racks.size, 2, `stage ${id} lies in ${[...racks].join(", ")}`);
  }
  const one = await place(spread(1), solver);
  assert.ok(one.kind === "infeasible");
  assert.match(one.reasons.join(), /copies in 2 failure groups, the devices lie in 1/);
});

test("reasons: no profile, a stage too large, memory in all, a rate too high, watts not known", async () => {
  const reasonOf = async (sample: PlacementProblem): Promise<string> => {
    const result = await place(sample, solver);
    assert.ok(result.kind === "infeasible");
    return result.reasons.join(" | ");
  };
  const sample = family({});
  assert.match(await reasonOf({ ...sample, devices: [] }), /no devices/);
  const other = sample.classes.map((each) => ({ ...each, name: `${each.name}2` }));
  const moved = sample.devices.map((each) => ({ ...each, class: `${each.class}2` }));
  assert.match(await reasonOf({ ...sample, classes: other, devices: moved }), /no profile on any class.*'a2', 'b2'/);
  const small = sample.classes.map((each) => ({ ...each, memoryBytes: 3 }));
  assert.match(await reasonOf({ ...sample, classes: small }), /stage 'm2\.0' takes 4 B, the largest device offers 3 B/);
  assert.match(
    await reasonOf(family({ counts: [1, 0], room: 9 })),
    /takes 13 B, the devices offer 9 B; add at least 1 device/,
  );
  assert.match(await reasonOf(family({ objective: "energy", rate: 1e4 })), /the rate is 10,000; give about .* times/);
  const unknown = sample.classes.map((each) => ({ ...each, watts: null }));
  await assert.rejects(
    place({ ...sample, objective: "energy", classes: unknown }, solver),
    /needs the power of every class/,
  );
});

test("fleets beyond a cell: copies of a cell share devices, counted classes do not; the better one wins", async () => {
  // Loads of a tenth of a device each: dedicated devices would stand idle.
  const tiny = family({ counts: [65, 0], scale: 0.001 });
  const shared = await place(tiny, null);
  assert.ok(shared.kind === "placed");
  assertSound(tiny, shared);
  const ninety = await place(family({ counts: [150, 150], relativeGap: 0.02 }), solver);
  assert.ok(ninety.kind === "placed");
  assert.ok(ninety.optimalityGap < 0.02, `gap ${ninety.optimalityGap}`);
  const energy = family({ objective: "energy", counts: [100, 60], rate: 15, relativeGap: 0.02 });
  const saved = await place(energy, solver);
  assert.ok(saved.kind === "placed");
  assertSound(energy, saved);
  assert.ok(saved.optimalityGap < 0.05, `gap ${saved.optimalityGap}`);
});

test("without a gap to close the solver is not asked", async () => {
  const never: MilpSolver = { solve: () => assert.fail("asked") };
  const sample = problem({ levels: [level("m", [option([stage("m.0", 1, 1, { a: 1 })])])] });
  const result = await place(sample, never);
  assert.ok(result.kind === "placed");
  assert.equal(result.rate, 4);
  assert.equal(result.algorithm, "exact-homogeneous");
  assert.equal(result.optimalityGap, 0);
});

interface FamilyOptions {
  readonly objective?: PlacementProblem["objective"];
  readonly counts?: readonly [number, number];
  readonly room?: number;
  readonly rate?: number;
  readonly relativeGap?: number;
  readonly scale?: number;
}

/** Three levels, the last one in two stages, on two classes. */
function family(options: FamilyOptions): PlacementProblem {
  const { objective = "throughput", counts = [3, 2], room = 9, rate = 0.8, relativeGap = 0.001, scale = 1 } = options;
  const slower = { a: 1, b: 2.3 };
  const part = (id: string, seconds: number, memory: number) => stage(id, seconds * scale, memory, slower);
  return problem({
    objective,
    rate,
    relativeGap,
    utilisationCap: 0.8,
    levels: [
      level("m0", [option([part("m0.0", 0.1, 2)])], 1),
      level("m1", [option([part("m1.0", 0.4, 3)])], 0.5),
      level("m2", [option([part("m2.0", 1.1, 4), part("m2.1", 0.9, 4)])], 0.2),
    ],
    classes: [deviceClass("a", room, WATTS_A), deviceClass("b", 6, WATTS_B)],
    devices: [...devices("a", counts[0]), ...devices("b", counts[1])],
  });
}

/** Memory and time of every device, shares of every stage, from the replicas alone. */
function assertSound(sample: PlacementProblem, result: PlacementResult): void {
  const { fleet, rate } = result;
  const memory = fleet.devices.map(() => 0);
  const busy = fleet.devices.map(() => 0);
  const shares = new Map<string, number>();
  for (const { level: k, stage: s, device, share } of fleet.replicas) {
    const own = fleet.levels[k]?.stages[s];
    const name = fleet.devices[device]?.class ?? "";
    const seconds = (own?.service.get(name)?.samplesMs[0]?.[0] ?? Number.NaN) / 1000;
    memory[device] = (memory[device] ?? 0) + (own?.memoryBytes.get(name) ?? Number.NaN);
    busy[device] = (busy[device] ?? 0) + rate * (sample.levels[k]?.reach ?? 0) * share * seconds;
    shares.set(`${k}.${s}`, (shares.get(`${k}.${s}`) ?? 0) + share);
  }
  for (const [d, device] of fleet.devices.entries()) {
    const room = sample.classes.find((each) => each.name === device.class)?.memoryBytes ?? 0;
    assert.ok((memory[d] ?? 0) <= room * sample.memoryShare + 1e-9, `${device.id}: memory`);
    assert.ok((busy[d] ?? 0) <= sample.utilisationCap * (1 + 1e-7), `${device.id}: busy ${busy[d]}`);
    close(result.utilisation[d] ?? 0, busy[d] ?? 0);
  }
  const stages = fleet.levels.flatMap((each, k) => each.stages.map((_, s) => `${k}.${s}`));
  for (const id of stages) close(shares.get(id) ?? 0, 1);
  if (sample.objective === "energy") assert.ok(result.mostRate >= sample.rate * (1 - 1e-6));
  assert.ok(result.optimalityGap >= 0 && result.optimalityGap < 1);
}

function valueOfResult(result: Awaited<ReturnType<typeof place>>): number {
  assert.ok(result.kind === "placed");
  return result.search.model.objective === "throughput" ? result.rate : (result.watts ?? Number.NaN);
}

function close(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-6 * Math.max(1e-3, Math.abs(expected)), `${actual} is not ${expected}`);
}
