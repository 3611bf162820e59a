/** From a layout to devices: neighbours in a pipeline share a node where they can, copies lie in several failure groups. */
import type { Replica } from "../fleet.ts";
import type { Balance, Layout } from "./layout.ts";
import type { PlacementModel } from "./model.ts";
import type { PlacementProblem } from "./problem.ts";

/** What one device holds. */
export interface HeldDevice {
  /** Index into the problem's devices. */
  readonly device: number;
  /** Index into the layout's bins. */
  readonly bin: number;
}

/**
 * A device for every used bin, one a count; same input, same devices. `pinned` names the units of each device where a solver
 * has chosen the very devices.
 */
export function chooseDevices(
  problem: PlacementProblem,
  model: PlacementModel,
  layout: Layout,
  pinned: readonly (readonly number[])[] | null,
): HeldDevice[] {
  if (pinned !== null) return pinnedDevices(problem, model, layout, pinned);
  const free = new FreeDevices(problem, model);
  const groupsOfUnit = layout.units.map(() => new Set<string>());
  const held: HeldDevice[] = [];
  for (const { bin, chain } of pipelineOrder(layout)) {
    const units = layout.bins[bin]?.units ?? [];
    const avoided = new Set(
      units.flatMap((u) => {
        const groups = groupsOfUnit[u];
        return groups !== undefined && groups.size < (layout.units[u]?.copies ?? 1) ? [...groups] : [];
      }),
    );
    const device = free.take(layout.bins[bin]?.classIndex ?? 0, chain, avoided);
    held.push({ device, bin });
    for (const u of units) groupsOfUnit[u]?.add(problem.devices[device]?.failureGroup ?? "");
  }
  return held.sort((a, b) => a.device - b.device);
}

/** Whether every unit lies in as many failure groups as it has to. */
export function isSpread(problem: PlacementProblem, layout: Layout, held: readonly HeldDevice[]): boolean {
  if (layout.units.every((unit) => unit.copies < 2)) return true;
  return layout.units.every((unit, u) => {
    const inside = held.filter(({ bin }) => layout.bins[bin]?.units.includes(u));
    return new Set(inside.map(({ device }) => problem.devices[device]?.failureGroup)).size >= unit.copies;
  });
}

/** Replicas in order of level, stage and device. */
export function replicasOf(layout: Layout, balance: Balance, held: readonly HeldDevice[]): Replica[] {
  const replicas = held.flatMap(({ device, bin }) => {
    const each = layout.bins[bin];
    return (each?.units ?? []).map((u, i): Replica => {
      const flow = (balance.flows[bin]?.[i] ?? 0) / (each?.count ?? 1);
      const unit = layout.units[u];
      return { level: unit?.level ?? 0, stage: unit?.stage ?? 0, device, share: flow / totalFlow(layout, balance, u) };
    });
  });
  return replicas.sort((a, b) => a.level - b.level || a.stage - b.stage || a.device - b.device);
}

function totalFlow(layout: Layout, balance: Balance, unit: number): number {
  let sum = 0;
  for (const [b, bin] of layout.bins.entries()) {
    const i = bin.units.indexOf(unit);
    if (i >= 0) sum += balance.flows[b]?.[i] ?? 0;
  }
  return sum;
}

/** Used bins one by one: the first copies of all stages of the most cut level, then its second copies, and so on. */
function pipelineOrder(layout: Layout): { readonly bin: number; readonly chain: string }[] {
  const left = layout.bins.map((bin) => (bin.units.length === 0 ? 0 : bin.count));
  const levels = [...new Set(layout.units.map((unit) => unit.level))];
  const stagesOf = (level: number) => layout.units.flatMap((unit, u) => (unit.level === level ? [u] : []));
  levels.sort((a, b) => stagesOf(b).length - stagesOf(a).length || a - b);
  const order: { bin: number; chain: string }[] = [];
  for (const level of levels) {
    const hosts = stagesOf(level).map((u) => layout.bins.flatMap((bin, b) => (bin.units.includes(u) ? [b] : [])));
    for (let copy = 0; ; copy++) {
      let isAny = false;
      for (const bins of hosts) {
        const bin = bins.find((b) => (left[b] ?? 0) > 0);
        if (bin === undefined) continue;
        left[bin] = (left[bin] ?? 0) - 1;
        order.push({ bin, chain: `${level}.${copy}` });
        isAny = true;
      }
      if (!isAny) break;
    }
  }
  return order;
}

/** Unused devices by class and node. */
class FreeDevices {
  readonly #problem: PlacementProblem;
  /** By class: node, then its free devices in order. */
  readonly #byClass: readonly ReadonlyMap<string, number[]>[];
  #chain = "";
  #node = "";

  constructor(problem: PlacementProblem, model: PlacementModel) {
    this.#problem = problem;
    this.#byClass = model.classes.map((each) => {
      const nodes = new Map<string, number[]>();
      for (const device of each.devices) {
        const node = problem.devices[device]?.node ?? "";
        const known = nodes.get(node);
        if (known === undefined) nodes.set(node, [device]);
        else known.push(device);
      }
      return nodes;
    });
  }

  /** On the node of the chain's last device if it can be, else on the node with most free ones; first device there. */
  take(classIndex: number, chain: string, avoided: ReadonlySet<string>): number {
    const nodes = this.#byClass[classIndex] ?? new Map<string, number[]>();
    const usable = (node: string): number =>
      (nodes.get(node) ?? []).findIndex((d) => !avoided.has(this.#problem.devices[d]?.failureGroup ?? ""));
    let node = chain === this.#chain && usable(this.#node) >= 0 ? this.#node : undefined;
    if (node === undefined) {
      let most = 0;
      for (const isStrict of [true, false]) {
        for (const [name, devices] of nodes) {
          if (devices.length <= most || (isStrict && avoided.size > 0 && usable(name) < 0)) continue;
          most = devices.length;
          node = name;
        }
        if (node !== undefined) break;
      }
    }
    this.#chain = chain;
    this.#node = node ?? "";
    const devices = nodes.get(this.#node) ?? [];
    const [device] = devices.splice(Math.max(0, usable(this.#node)), 1);
    return device ?? -1;
  }
}

function pinnedDevices(
  problem: PlacementProblem,
  model: PlacementModel,
  layout: Layout,
  pinned: readonly (readonly number[])[],
): HeldDevice[] {
  const keys = new Map(layout.bins.map((bin, b) => [`${bin.classIndex}:${bin.units.join(",")}`, b]));
  const classOf = new Map(model.classes.flatMap((each, c) => each.devices.map((device) => [device, c] as const)));
  return problem.devices.flatMap((_, device) => {
    const units = pinned[device] ?? [];
    const bin = keys.get(`${classOf.get(device)}:${units.join(",")}`);
    return units.length === 0 || bin === undefined ? [] : [{ device, bin }];
  });
}
