/** The simulator against queueing theory. Runs are long enough for 2 %; seeds are fixed. */
import assert from "node:assert/strict";
import test from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { arrivalTimesMs } from "../../../planner/simulate/arrivals.ts";
import { simulate } from "../../../planner/simulate/simulate.ts";
import { exponential, flat, fleet, level, policy, stage, workload } from "./fleets.ts";

function near(actual: number, expected: number, share: number, what: string): void {
  const off = Math.abs(actual - expected) / expected;
  assert.ok(off <= share, `${what}: ${actual} instead of ${expected}, ${(100 * off).toFixed(2)} % off`);
}

test("M/D/1: the mean wait is rho s / (2 (1 - rho))", () => {
  const one = fleet({ levels: [level("m", [stage("m", 10)])], replicas: [[0, 0, 0]] });
  for (const rho of [0.3, 0.6, 0.8]) {
    const { latencyMs, levels, replicaUtilisation } = simulate(one, workload(100 * rho), { requests: 400_000 });
    near(latencyMs.mean, 10 + (rho * 10) / (2 * (1 - rho)), 0.02, `rho ${rho}`);
    near(levels[0]?.queueMs.mean ?? 0, (rho * 10) / (2 * (1 - rho)), 0.04, `wait at rho ${rho}`);
    near(replicaUtilisation[0] ?? 0, rho, 0.02, "utilisation");
  }
});

test("M/M/c: the mean wait is Erlang's C / (c mu - lambda)", () => {
  for (const [c, rho] of [
    [1, 0.7],
    [4, 0.8],
    [16, 0.9],
  ] as const) {
    const servers = fleet({
      levels: [level("m", [stage("m", exponential(10))])],
      replicas: Array.from({ length: c }, (_, i) => [0, 0, i] as const),
    });
    const lambda = (rho * c) / 10;
    const { latencyMs } = simulate(servers, workload(1000 * lambda), { requests: 600_000 });
    near(latencyMs.mean, 10 + erlangC(c, rho * c) / (c / 10 - lambda), 0.02, `c ${c}`);
  }
});

test("bursts of Gamma arrivals: every wait as Lindley's recursion has it", () => {
  const one = fleet({ levels: [level("m", [stage("m", 10)])], replicas: [[0, 0, 0]] });
  const means = [0.5, 1, 2].map((cv) => {
    const timesMs = arrivalTimesMs({ process: "gamma", cv }, 70, 50_000, seededRandom(5));
    const trace = { process: "trace", timesMs } as const;
    const ratePerSecond = (1000 * (timesMs.length - 1)) / ((timesMs.at(-1) ?? 0) - (timesMs[0] ?? 0));
    const { latencyMs } = simulate(one, workload(ratePerSecond, { arrivals: trace }), {
      requests: timesMs.length,
      warmupShare: 0,
    });
    let waitMs = 0;
    let sumMs = 0;
    for (let i = 0; i < timesMs.length; i++) {
      if (i > 0) waitMs = Math.max(0, waitMs + 10 - ((timesMs[i] ?? 0) - (timesMs[i - 1] ?? 0)));
      sumMs += waitMs + 10;
    }
    near(latencyMs.mean, sumMs / timesMs.length, 1e-6, `cv ${cv}`);
    return latencyMs.mean;
  });
  assert.ok((means[0] ?? 0) < (means[1] ?? 0) && (means[1] ?? 0) < (means[2] ?? 0), `burstier waits longer: ${means}`);
});

test("processor sharing, M/G/1-PS: the mean time is s / (1 - rho), whatever the distribution", () => {
  // 400 replicas on one device: none ever waits for a replica, all share the device.
  for (const service of [{ batchSizes: [1], samplesMs: [[10]] }, exponential(10)]) {
    const shared = fleet({
      levels: [level("m", [stage("m", service)])],
      replicas: Array.from({ length: 400 }, () => [0, 0, 0] as const),
    });
    const { latencyMs, deviceUtilisation } = simulate(shared, workload(60), { requests: 400_000 });
    near(latencyMs.mean, 10 / 0.4, 0.02, "mean");
    near(deviceUtilisation[0] ?? 0, 0.6, 0.02, "utilisation");
  }
});

test("tandem of stages: throughput is 1 / max t, the transfer included; an idle one takes the sum", () => {
  const stages = [stage("a", 6), stage("b", 10, { outputBytesPerRow: 0 }), stage("c", 4)];
  const chain = fleet({
    levels: [level("m", stages)],
    replicas: [
      [0, 0, 0],
      [0, 1, 1],
      [0, 2, 2],
    ],
    transferMs: 0.5,
  });
  const full = simulate(chain, workload(1000), { requests: 20_000 });
  near(full.throughput, 1000 / 10.5, 0.001, "throughput");
  const idle = simulate(chain, workload(0.1), { requests: 2_000 });
  near(idle.latencyMs.p50, 6 + 10 + 4 + 2 * 0.5, 1e-9, "time through an idle chain");
  near(full.deviceUtilisation[1] ?? 0, 10 / 10.5, 0.001, "the transfer takes the replica, not the device");
});

test("transfer time grows with the rows of the batch and with what a row hands on", () => {
  const stages = [stage("a", flat(5, 4), { outputBytesPerRow: 3 }), stage("b", flat(5, 4))];
  const chain = fleet({
    levels: [level("m", stages, policy(4))],
    replicas: [
      [0, 0, 0],
      [0, 1, 1],
    ],
    transferMs: 1,
  });
  const { latencyMs } = simulate(chain, workload(0.1, { rowsPerRequest: 4 }), { requests: 100 });
  near(latencyMs.p50, 5 + (1 + 4 * 3) + 5, 1e-9, "4 rows of 3 bytes at 1 byte/ms, 1 ms latency");
});

test("Little's law: the mean number in the system is rate times mean time", () => {
  const cascade = fleet({
    levels: [level("s", [stage("s", flat(4, 8))], policy(8)), level("l", [stage("l", exponential(20))])],
    replicas: [
      [0, 0, 0],
      [1, 0, 1],
      [1, 0, 2],
    ],
  });
  const routing = {
    kind: "paths",
    paths: [
      [0.7, 0.3],
      [0, 1],
    ],
  } as const;
  const result = simulate(cascade, workload(100, { routing, rowsPerRequest: 2 }), { requests: 200_000, seed: 3 });
  const arrivalsPerMs = result.measuredRequests / result.measuredMs;
  near(result.meanInSystem, arrivalsPerMs * result.latencyMs.mean, 0.01, "L = lambda W");
});

test("energy: idle watts of loaded devices, active ones while they run, bare ones of unused devices", () => {
  const watts = { bare: 10, idle: 40, active: 240, source: "test" };
  const two = fleet({ levels: [level("m", [stage("m", 10)])], replicas: [[0, 0, 0]], devices: 3, watts });
  const off = simulate(two, workload(50), { requests: 50_000 });
  const utilisation = off.deviceUtilisation[0] ?? 0;
  near(off.energy?.watts ?? 0, 40 + 200 * utilisation, 1e-9, "watts");
  near(off.energy?.dynamicJoulesPerRequest ?? 0, 200 * 0.01, 0.001, "200 W for 10 ms a request");
  near((off.energy?.watts ?? 0) / off.throughput, off.energy?.joulesPerRequest ?? 0, 1e-9, "J = W / rate");
  const bare = simulate(two, workload(50), { requests: 50_000, unusedDevices: "bare" });
  near((bare.energy?.watts ?? 0) - (off.energy?.watts ?? 0), 20, 1e-9, "two unused devices");
  const unknown = fleet({ levels: [level("m", [stage("m", 10)])], replicas: [[0, 0, 0]] });
  assert.equal(simulate(unknown, workload(50), { requests: 1_000 }).energy, null);
});

test("energy: measured joules of a batch count instead of active watts, interpolated between sizes", () => {
  const watts = { bare: 10, idle: 40, active: 240, source: "test" };
  const metered = stage("m", flat(10, 5), { energyJ: new Map([["c", [1, 3]]]) });
  const one = fleet({ levels: [level("m", [metered], policy(5))], replicas: [[0, 0, 0]], watts });
  const { energy } = simulate(one, workload(1, { rowsPerRequest: 3 }), { requests: 5_000 });
  near(energy?.dynamicJoulesPerRequest ?? 0, 2, 0.001, "3 rows lie between 1 J and 3 J");
  assert.match(energy?.source ?? "", /measured joules/);
});

function erlangC(c: number, load: number): number {
  let sum = 0;
  let term = 1;
  for (let k = 0; k < c; k++) {
    sum += term;
    term *= load / (k + 1);
  }
  const waiting = term / (1 - load / c);
  return waiting / (sum + waiting);
}
