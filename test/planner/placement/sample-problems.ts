/** Placement problems for tests, and their answers by enumeration. */

import type { Stage } from "../../../planner/fleet.ts";
import { unitsOf } from "../../../planner/placement/layout.ts";
import type { PlacementModel } from "../../../planner/placement/model.ts";
import type { LevelOption, PlacedLevel, PlacementProblem } from "../../../planner/placement/problem.ts";
import type { Device, DeviceClass } from "../../../proto/files/devices-file.ts";

export const LINKS = {
  sameNode: { bytesPerMs: 1e9, latencyMs: 0 },
  betweenNodes: { bytesPerMs: 1e9, latencyMs: 0 },
} as const;

/** A stage that takes `seconds` a batch of one and `memory` bytes, on each class the same or times `slower[class]`. */
export function stage(id: string, seconds: number, memory: number, slower: Readonly<Record<string, number>>): Stage {
  const classes = Object.entries(slower);
  return {
    id,
    memoryBytes: new Map(classes.map(([name]) => [name, memory])),
    service: new Map(
      classes.map(([name, factor]) => [name, { batchSizes: [1], samplesMs: [[seconds * 1000 * factor]] }]),
    ),
    energyJ: new Map(),
    outputBytesPerRow: 0,
  };
}

export function option(stages: readonly Stage[]): LevelOption {
  const batch = { maxBatchSize: 1, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false };
  return { stages, batch, meanRows: 1 };
}

export function level(model: string, options: readonly LevelOption[], reach = 1): PlacedLevel {
  return { model, reach, countsForLatency: true, copies: 1, options };
}

export function deviceClass(name: string, memoryBytes: number, watts: DeviceClass["watts"] = null): DeviceClass {
  return { name, kind: "cpu", memoryBytes, watts };
}

export function devices(className: string, count: number, node: (i: number) => string = () => "n0"): Device[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${className}-${String(i).padStart(5, "0")}`,
    class: className,
    node: node(i),
    failureGroup: node(i),
    cpus: "",
    ordinal: -1,
  }));
}

/** Throughput on one class without a latency objective: what most of the proofs are about. */
export function problem(changes: Partial<PlacementProblem> & Pick<PlacementProblem, "levels">): PlacementProblem {
  return {
    objective: "throughput",
    classes: [deviceClass("a", 16)],
    devices: devices("a", 4),
    links: LINKS,
    rate: 1,
    rowsPerRequest: 1,
    arrivalCv: 1,
    slo: { latencyMs: Number.POSITIVE_INFINITY, percentile: 0.99 },
    utilisationCap: 1,
    memoryShare: 1,
    unusedDevices: "off",
    relativeGap: 0,
    ...changes,
  };
}

/** One level of one stage for each load (seconds) and memory. */
export function unitLevels(loads: readonly number[], memory: readonly number[]): PlacedLevel[] {
  return loads.map((load, i) => level(`m${i}`, [option([stage(`m${i}.0`, load, memory[i] ?? 0, { a: 1 })])]));
}

/**
 * Highest rate of one choice of options on one class by trying every set of devices for every unit. The rate of a layout
 * is by Hall's condition: over all sets of units, the devices that hold any of them over the seconds that they ask for.
 * 0: nothing fits.
 */
export function bestRateByEnumeration(model: PlacementModel, choice: readonly number[]): number {
  const units = unitsOf(model, choice);
  const count = model.classes[0]?.devices.length ?? 0;
  const room = model.classes[0]?.memoryBytes ?? 0;
  const loads = units.map((unit) => unit.on[0]?.loadSeconds ?? Number.POSITIVE_INFINITY);
  const memory = units.map((unit) => unit.on[0]?.memoryBytes ?? Number.POSITIVE_INFINITY);
  const used = new Array<number>(count).fill(0);
  const holders: number[] = [];
  let best = 0;
  const hall = (): number => {
    let rate = Number.POSITIVE_INFINITY;
    for (let set = 1; set < 1 << units.length; set++) {
      let load = 0;
      let devicesOfSet = 0;
      for (let u = 0; u < units.length; u++) {
        if ((set & (1 << u)) === 0) continue;
        load += loads[u] ?? 0;
        devicesOfSet |= holders[u] ?? 0;
      }
      rate = Math.min(rate, (model.utilisationCap * bits(devicesOfSet)) / load);
    }
    return rate;
  };
  const place = (u: number): void => {
    if (u === units.length) {
      best = Math.max(best, hall());
      return;
    }
    for (let set = 1; set < 1 << count; set++) {
      if (bits(set) < (units[u]?.copies ?? 1)) continue;
      const held = Array.from({ length: count }, (_, d) => (set & (1 << d)) !== 0);
      if (held.some((is, d) => is && (used[d] ?? 0) + (memory[u] ?? 0) > room * (1 + 1e-12))) continue;
      held.forEach((is, d) => {
        if (is) used[d] = (used[d] ?? 0) + (memory[u] ?? 0);
      });
      holders.push(set);
      place(u + 1);
      holders.pop();
      held.forEach((is, d) => {
        if (is) used[d] = (used[d] ?? 0) - (memory[u] ?? 0);
      });
    }
  };
  place(0);
  return best;
}

function bits(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}
