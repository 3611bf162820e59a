/** Stages that share devices: a MILP with one binary a stage and device, for chosen options. */
import type { Balance, Bin, Layout, Unit } from "./layout.ts";
import { joinBins } from "./layout.ts";
import { MilpBuilder, type MilpProblem, type Term } from "./milp.ts";
import type { PlacementModel } from "./model.ts";

/** Added to the watts of a device in use, as a share of them: of two plans with equal watts the one with fewer devices wins. */
export const DEVICE_TIE = 1e-6;

export interface DeviceProblem {
  readonly problem: MilpProblem;
  /** Columns of a layout, to start from; null where it does not fit this problem. */
  start(layout: Layout, balance: Balance): number[] | null;
  read(values: readonly number[]): DeviceLayout;
}

export interface DeviceLayout {
  readonly layout: Layout;
  /** Indices of units by device of the problem; null: devices of a class may be exchanged freely. */
  readonly pinned: readonly (readonly number[])[] | null;
}

/** A device as the MILP sees it: which one of its class. */
interface Slot {
  readonly classIndex: number;
  /** Index into the problem's devices. */
  readonly device: number;
  /** -1: the objective does not ask whether the device is in use. */
  readonly onColumn: number;
  /** By unit: copy and flow; null: the unit cannot be here. */
  readonly cells: readonly ({ readonly copy: number; readonly flow: number } | null)[];
}

/**
 * z[u,d] copy, q[u,d] flow <= z x (what the device alone could carry), time and memory of every device, all flows of a unit
 * add up to the rate. Rates are in units of `scale`, any rate that cannot be reached. `groups` is the failure group of each
 * device, for units that need copies in several.
 */
export function deviceProblem(
  model: PlacementModel,
  choice: readonly number[],
  units: readonly Unit[],
  groups: readonly number[],
  scale: number,
): DeviceProblem {
  const builder = new MilpBuilder();
  const isEnergy = model.objective === "energy";
  const rate = isEnergy ? model.rate / scale : 1;
  const rateColumn = isEnergy ? -1 : builder.column(1, 1, "real");
  const slots = model.classes.flatMap((each, classIndex) =>
    each.devices.map((device): Slot => addDevice(builder, model, units, { classIndex, device, scale, most: rate })),
  );
  for (const [u, unit] of units.entries()) {
    const flows = slots.flatMap((slot): Term[] => (slot.cells[u] ? [[slot.cells[u].flow, 1]] : []));
    if (isEnergy) builder.equal(flows, rate);
    else builder.equal([...flows, [rateColumn, -1]], 0);
    const copies = slots.flatMap((slot): Term[] => (slot.cells[u] ? [[slot.cells[u].copy, 1]] : []));
    builder.atLeast(copies, unit.copies);
  }
  const isSpread = units.some((unit) => unit.copies > 1);
  const groupColumns = isSpread ? addGroups(builder, units, slots, groups) : [];
  if (isEnergy && !isSpread) orderAlike(builder, slots);
  return {
    problem: builder.build(isEnergy ? "minimise" : "maximise"),
    start: (layout, balance) => {
      if (isSpread) return null;
      const values = new Array<number>(builder.columnCount).fill(0);
      if (rateColumn >= 0) values[rateColumn] = Math.min(1, balance.rate / scale);
      return fillStart(values, slots, layout, balance, scale) && groupColumns.length === 0 ? values : null;
    },
    read: (values) => {
      const held = slots.map((slot) =>
        units.flatMap((_, u) => {
          const cell = slot.cells[u];
          return cell !== null && cell !== undefined && (values[cell.copy] ?? 0) > 0.5 ? [u] : [];
        }),
      );
      const bins = slots.map((slot, i): Bin => ({ classIndex: slot.classIndex, units: held[i] ?? [], count: 1 }));
      const pinned: number[][] = [];
      for (const [i, slot] of slots.entries()) pinned[slot.device] = held[i] ?? [];
      return { layout: { choice, units, bins: joinBins(bins) }, pinned: isSpread ? pinned : null };
    },
  };
}

function addDevice(
  builder: MilpBuilder,
  model: PlacementModel,
  units: readonly Unit[],
  at: { readonly classIndex: number; readonly device: number; readonly scale: number; readonly most: number },
): Slot {
  const { classIndex, device, scale, most } = at;
  const kept = model.classes[classIndex]?.keptWatts ?? 0;
  const isEnergy = model.objective === "energy";
  const onColumn = isEnergy ? builder.column(kept + Math.max(kept, 1) * DEVICE_TIE, 1, "integer") : -1;
  const memory: Term[] = [];
  const time: Term[] = [];
  const room = model.classes[classIndex]?.memoryBytes ?? 0;
  const cells = units.map((unit) => {
    const cost = unit.on[classIndex];
    if (cost === null || cost === undefined) return null;
    const perSecond = (cost.loadSeconds * scale) / model.utilisationCap;
    const mostFlow = Math.min(most, 1 / perSecond);
    const copy = builder.column(0, 1, "integer");
    const flow = builder.column(isEnergy ? cost.joules * scale : 0, mostFlow, "real");
    builder.atMost(
      [
        [flow, 1],
        [copy, -mostFlow],
      ],
      0,
    );
    if (isEnergy)
      builder.atMost(
        [
          [copy, 1],
          [onColumn, -1],
        ],
        0,
      );
    memory.push([copy, cost.memoryBytes / room]);
    time.push([flow, perSecond]);
    return { copy, flow };
  });
  if (memory.length > 0) {
    builder.atMost(memory, 1);
    if (isEnergy) builder.atMost([...time, [onColumn, -1]], 0);
    else builder.atMost(time, 1);
  }
  return { classIndex, device, onColumn, cells };
}

/** Copies of a unit lie in at least `copies` failure groups. */
function addGroups(
  builder: MilpBuilder,
  units: readonly Unit[],
  slots: readonly Slot[],
  groups: readonly number[],
): number[] {
  const names = [...new Set(groups)];
  return units.flatMap((unit, u) => {
    if (unit.copies < 2) return [];
    const columns = names.map((name) => {
      const column = builder.column(0, 1, "integer");
      const inside = slots.flatMap((slot): Term[] => {
        const cell = slot.cells[u];
        return cell && groups[slot.device] === name ? [[cell.copy, -1]] : [];
      });
      builder.atMost([[column, 1], ...inside], 0);
      return column;
    });
    builder.atLeast(
      columns.map((column): Term => [column, 1]),
      unit.copies,
    );
    return columns;
  });
}

/** Devices of a class are alike: the first ones are in use. */
function orderAlike(builder: MilpBuilder, slots: readonly Slot[]): void {
  for (const [i, slot] of slots.entries()) {
    const next = slots[i + 1];
    if (next === undefined || next.classIndex !== slot.classIndex) continue;
    builder.atMost(
      [
        [next.onColumn, 1],
        [slot.onColumn, -1],
      ],
      0,
    );
  }
}

/** Bins in use come first, as `orderAlike` wants them. */
function fillStart(values: number[], slots: readonly Slot[], layout: Layout, balance: Balance, scale: number): boolean {
  const order = layout.bins.map((_, b) => b);
  order.sort((x, y) => (layout.bins[y]?.units.length ?? 0) - (layout.bins[x]?.units.length ?? 0) || x - y);
  const free = new Map<number, Slot[]>();
  for (const slot of slots) free.set(slot.classIndex, [...(free.get(slot.classIndex) ?? []), slot]);
  for (const b of order) {
    const bin = layout.bins[b];
    for (let i = 0; bin !== undefined && i < bin.count; i++) {
      const slot = free.get(bin.classIndex)?.shift();
      if (slot === undefined) return false;
      if (bin.units.length > 0 && slot.onColumn >= 0) values[slot.onColumn] = 1;
      for (const [j, u] of bin.units.entries()) {
        const cell = slot.cells[u];
        if (cell === null || cell === undefined) return false;
        values[cell.copy] = 1;
        values[cell.flow] = (balance.flows[b]?.[j] ?? 0) / bin.count / scale;
      }
    }
  }
  return true;
}
