/** A placement in words: why each replica is where it is, what keeps the plan from more, what one more device would bring. */
import type { Explanation } from "../../proto/files/plan-file.ts";
import type { Replica } from "../fleet.ts";
import { boundOf, rankChoices } from "./bounds.ts";
import { bytes, figure, percent } from "./format.ts";
import { type Bin, binMemory, type Unit } from "./layout.ts";
import type { MilpSolver } from "./milp.ts";
import { placementModel } from "./model.ts";
import { fits } from "./pack.ts";
import { type PlacementResult, place } from "./place.ts";
import type { PlacementProblem } from "./problem.ts";

/** One text a replica, in the fleet's order, and what binds. */
export function explainPlacement(
  problem: PlacementProblem,
  result: PlacementResult,
): Pick<Explanation, "binding" | "placements"> {
  const lookup: Lookup = {
    problem,
    result,
    stages: Map.groupBy(result.fleet.replicas, ({ level, stage }) => `${level}.${stage}`),
    bins: new Map(result.search.held.map(({ device, bin }) => [device, bin])),
  };
  return {
    binding: whatBinds(problem, result),
    placements: result.fleet.replicas.map((replica) => whyHere(lookup, replica)),
  };
}

/** What the text of a replica needs to find quickly in a large fleet. */
interface Lookup {
  readonly problem: PlacementProblem;
  readonly result: PlacementResult;
  /** Copies of a stage by `level.stage`. */
  readonly stages: ReadonlyMap<string, readonly Replica[]>;
  /** Bin of a device. */
  readonly bins: ReadonlyMap<number, number>;
}

/**
 * Plans again with one more device of each class that has some. What a larger fleet gets is at least what stands, since the
 * new device can stay empty.
 */
export async function oneMoreDevice(
  problem: PlacementProblem,
  result: PlacementResult,
  solver: MilpSolver | null,
): Promise<Explanation["oneMoreDevice"]> {
  const gains: { class: string; gain: string }[] = [];
  for (const { name } of problem.classes) {
    const last = problem.devices.findLast((device) => device.class === name);
    if (last === undefined) continue;
    const devices = [...problem.devices, { ...last, id: `${last.id}+1` }];
    const larger = await place({ ...problem, devices }, solver);
    gains.push({ class: name, gain: gainText(problem, result, larger.kind === "placed" ? larger : result) });
  }
  return gains;
}

function gainText(problem: PlacementProblem, before: PlacementResult, after: PlacementResult): string {
  if (problem.objective === "throughput") {
    const gain = Math.max(0, after.rate - before.rate);
    if (gain <= before.rate * 1e-6) return "no higher rate: something else binds";
    return `${figure(gain)} requests/s more (${percent(gain / before.rate)})`;
  }
  const gain = Math.max(0, (before.watts ?? 0) - (after.watts ?? 0));
  if (gain <= (before.watts ?? 0) * 1e-6) return "no watts less: the fleet is large enough for this rate";
  return `${figure(gain)} W less (${percent(gain / (before.watts ?? 1))})`;
}

function whatBinds(problem: PlacementProblem, result: PlacementResult): string[] {
  return [
    ...(problem.objective === "throughput" ? timeThatBinds(problem, result) : deviceThatBinds(problem, result)),
    ...memoryThatBinds(result),
    ...latencyThatBinds(problem, result),
    ...linksThatBind(result),
  ];
}

/** By the prices of the balance: the share of the rate that each class' time decides. */
function timeThatBinds(problem: PlacementProblem, result: PlacementResult): string[] {
  const { model, found } = result.search;
  const texts: string[] = [];
  for (const [c, { name }] of model.classes.entries()) {
    let share = 0;
    for (const [b, bin] of found.layout.bins.entries()) {
      const price = found.balance.binPrices[b] ?? 0;
      if (bin.classIndex === c) share += (price * bin.count * problem.utilisationCap) / found.balance.rate;
    }
    if (share < 0.01) continue;
    const busy = busyDevices(problem, result, name);
    texts.push(
      `time of class '${name}': ${busy.full} of ${busy.count} devices are ${percent(problem.utilisationCap)} busy at ${figure(result.rate)} requests/s, ` +
        `the utilisation cap; ${percent(share)} of the rate hangs on them`,
    );
  }
  return texts;
}

function busyDevices(
  problem: PlacementProblem,
  { utilisation }: PlacementResult,
  name: string,
): { readonly full: number; readonly count: number } {
  const own = utilisation.filter((_, i) => problem.devices[i]?.class === name);
  return { full: own.filter((busy) => busy >= problem.utilisationCap * (1 - 1e-6)).length, count: own.length };
}

/** Energy: devices in use are as few as time allows, or as few as memory and copies allow. */
function deviceThatBinds(problem: PlacementProblem, result: PlacementResult): string[] {
  const { model, found, held } = result.search;
  const busy = held.reduce((sum, { device }) => sum + (result.utilisation[device] ?? 0), 0);
  const byTime = Math.ceil(busy / problem.utilisationCap - 1e-9);
  const texts = [
    `rate: ${figure(problem.rate)} requests/s must be served; these replicas could serve ${figure(result.mostRate)}`,
  ];
  if (held.length <= byTime) {
    texts.push(
      `time: the load fills ${figure(busy / problem.utilisationCap)} devices at the utilisation cap, ${held.length} are in use`,
    );
    return texts;
  }
  const taken = found.layout.bins.reduce((sum, bin) => sum + binMemory(found.layout.units, bin) * bin.count, 0);
  const offered = held.reduce((sum, { bin }) => {
    return sum + (model.classes[found.layout.bins[bin]?.classIndex ?? 0]?.memoryBytes ?? 0);
  }, 0);
  texts.push(
    `memory: the load alone would fill ${byTime} device${byTime === 1 ? "" : "s"}, ${held.length} are in use to hold every stage ` +
      `(${bytes(taken)} of ${bytes(offered)} taken)`,
  );
  return texts;
}

/** Copies that the prices ask for and that no free memory can take. */
function memoryThatBinds({ search: { model, found } }: PlacementResult): string[] {
  const { layout, balance } = found;
  if (model.objective === "energy") return [];
  const texts: string[] = [];
  for (const [c, { name, memoryBytes }] of model.classes.entries()) {
    const wanted = layout.units.filter((unit, u) => {
      const cost = unit.on[c];
      if (cost === null || cost === undefined) return false;
      return layout.bins.some((bin, b) => {
        if (bin.classIndex !== c || bin.units.includes(u) || fits(model, layout.units, bin, u)) return false;
        return (balance.unitPrices[u] ?? 0) / cost.loadSeconds > (balance.binPrices[b] ?? 0) * (1 + 1e-6);
      });
    });
    const [first] = wanted;
    if (first === undefined) continue;
    const free = Math.max(
      ...layout.bins.map((bin) => (bin.classIndex === c ? memoryBytes - binMemory(layout.units, bin) : 0)),
    );
    const ids = wanted.map((unit) => `'${stageId(model, layout.choice, unit)}'`).join(", ");
    texts.push(
      `memory of class '${name}': more copies of ${ids} would help, '${stageId(model, layout.choice, first)}' takes ` +
        `${bytes(first.on[c]?.memoryBytes ?? 0)}, at most ${bytes(Math.max(0, free))} is free on a device`,
    );
  }
  return texts;
}

/** Compares the bound with that of choices of any latency. */
function latencyThatBinds(problem: PlacementProblem, result: PlacementResult): string[] {
  const { latencyMs } = problem.slo;
  if (!Number.isFinite(latencyMs)) return [];
  const waitRate = problem.objective === "energy" ? problem.rate : Number.POSITIVE_INFINITY;
  const free = placementModel({ ...problem, slo: { ...problem.slo, latencyMs: Number.POSITIVE_INFINITY } }, waitRate);
  const ranked = rankChoices(free, 1);
  if (ranked.choices.length === 0) return [];
  const bound = boundOf(free, ranked);
  const isThroughput = problem.objective === "throughput";
  const isBetter = isThroughput ? bound > result.bound * 1.005 : bound < result.bound * 0.995;
  if (!isBetter) return [];
  const unit = isThroughput ? "requests/s" : "W";
  return [
    `latency objective: ${figure(latencyMs)} ms leaves choices of about ${figure(result.latencyMs)} ms; slower ones ` +
      `could reach ${figure(bound)} ${unit} at best, these ${figure(result.bound)} ${unit}`,
  ];
}

function linksThatBind({ search: { model, found } }: PlacementResult): string[] {
  return found.layout.units.flatMap((unit) => {
    const shares = unit.on.map((cost) => (cost === null ? 0 : cost.transferMs / cost.batchMs));
    const share = Math.max(...shares);
    if (share < 0.1) return [];
    const id = stageId(model, found.layout.choice, unit);
    return [`link: handing over what '${id}' computed takes ${percent(share)} of its device's time`];
  });
}

function whyHere(lookup: Lookup, replica: Replica): string {
  const { problem, result, stages, bins } = lookup;
  const { model, found } = result.search;
  const { layout } = found;
  const device = problem.devices[replica.device];
  const u = layout.units.findIndex(({ level, stage }) => level === replica.level && stage === replica.stage);
  const unit = layout.units[u];
  const bin = layout.bins[bins.get(replica.device) ?? 0];
  if (device === undefined || unit === undefined || bin === undefined) return "";
  const nameOf = (index: number): string => `'${stageId(model, layout.choice, layout.units[index])}'`;
  const others = bin.units.filter((other) => other !== u).map(nameOf);
  const copies = stages.get(`${replica.level}.${replica.stage}`) ?? [];
  const memory = `${bytes(binMemory(layout.units, bin))} of ${bytes(model.classes[bin.classIndex]?.memoryBytes ?? 0)}`;
  return [
    `${nameOf(u)} on ${device.id}: ${whyCopy(replica, copies, { unit, bin, result })}`,
    `${others.length === 0 ? "alone" : `beside ${others.join(", ")}`}, ` +
      `device ${percent(result.utilisation[replica.device] ?? 0)} busy at ${figure(result.rate)} requests/s, ${memory} taken`,
    ...neighbourText(lookup, replica),
  ].join("; ");
}

function whyCopy(
  replica: Replica,
  replicas: readonly Replica[],
  { unit, bin, result }: { readonly unit: Unit; readonly bin: Bin; readonly result: PlacementResult },
): string {
  if (replicas.length === 1) return "the only copy, its device carries the whole rate";
  const { model, found } = result.search;
  const alone = model.utilisationCap / (unit.on[bin.classIndex]?.loadSeconds ?? 1);
  const copy = `copy ${replicas.indexOf(replica) + 1} of ${replicas.length} with ${percent(replica.share)} of the rows`;
  if (alone < found.balance.rate * (1 - 1e-9)) {
    return `${copy}: one device carries ${figure(alone)} of ${figure(found.balance.rate)} requests/s`;
  }
  if (replicas.length <= unit.copies) return `${copy}: kept in ${unit.copies} failure groups`;
  return `${copy}: uses time that other stages leave`;
}

/** Where the next stage of the pipeline is. */
function neighbourText({ problem, stages }: Lookup, replica: Replica): string[] {
  const next = stages.get(`${replica.level}.${replica.stage + 1}`) ?? [];
  if (next.length === 0) return [];
  if (next.some(({ device }) => device === replica.device)) return ["hands over on the device itself"];
  const node = problem.devices[replica.device]?.node;
  const isNear = next.some(({ device }) => problem.devices[device]?.node === node);
  return [isNear ? `hands over within node ${node}` : "hands over to another node"];
}

function stageId(model: PlacementResult["search"]["model"], choice: readonly number[], unit: Unit | undefined): string {
  if (unit === undefined) return "";
  const option = model.levels[unit.level]?.options[choice[unit.level] ?? 0];
  return option?.source.stages[unit.stage]?.id ?? "";
}
