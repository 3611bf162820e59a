/** A first devices.json for this machine: what a plan may use, to be edited by hand afterwards. Pure. */
import type { NvidiaCard } from "../../model-repo/meters/nvidia-cards.ts";
import {
  DEVICES_FORMAT_VERSION,
  type Device,
  type DeviceClass,
  type DevicesFile,
  type DeviceWatts,
  type Links,
} from "../../proto/files/devices-file.ts";
import type { PhysicalCore } from "./core-topology.ts";

export interface InventoryFacts {
  readonly cores: readonly PhysicalCore[];
  /** That all processes together may use. */
  readonly memoryBytes: number;
  /** Empty where no model could run on them. */
  readonly cards: readonly NvidiaCard[];
}

/** Kept for the server itself and the system. */
const RESERVED_SHARE = 0.2;
/** A CUDA context and the driver take part of a card. */
const RESERVED_CARD_SHARE = 0.1;
const MEBIBYTE = 2 ** 20;
/** Measured between two processes of a machine, and the rate of a 10 Gbit/s network. */
const LINKS: Links = {
  sameNode: { bytesPerMs: 1e6, latencyMs: 0.1 },
  betweenNodes: { bytesPerMs: 1.25e6, latencyMs: 0.2 },
};

/** One device a physical core and one a card; cores that clock alike are a class, cards of one name too. Watts unknown. */
export function firstInventory({ cores, memoryBytes, cards }: InventoryFacts): DevicesFile {
  const kinds = [...new Set(cores.map(coreKind))].sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  const coreClass = (core: PhysicalCore) => (kinds.length === 1 ? "core" : `core-${kinds.indexOf(coreKind(core))}`);
  const coreBytes = wholeMebibytes((memoryBytes * (1 - RESERVED_SHARE)) / Math.max(1, cores.length));
  const cardClass = ({ name }: NvidiaCard) => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  const classes = new Map<string, DeviceClass>();
  for (const core of cores) {
    const name = coreClass(core);
    classes.set(name, { name, kind: "cpu", memoryBytes: coreBytes, watts: null });
  }
  for (const card of cards) {
    const name = cardClass(card);
    const cardBytes = wholeMebibytes(card.memoryBytes * (1 - RESERVED_CARD_SHARE));
    classes.set(name, { name, kind: "cuda", memoryBytes: cardBytes, watts: null });
  }
  const here = { node: "local", failureGroup: "local" };
  const devices: Device[] = [
    ...cores.map((core, i) => ({
      id: `core-${i}`,
      class: coreClass(core),
      ...here,
      cpus: core.cpus.join(","),
      ordinal: -1,
    })),
    ...cards.map((card) => ({
      id: `gpu-${card.ordinal}`,
      class: cardClass(card),
      ...here,
      cpus: "",
      ordinal: card.ordinal,
    })),
  ];
  return { classes: [...classes.values()], devices, links: LINKS };
}

/** The same with measured watts of some classes. */
export function withWatts(inventory: DevicesFile, watts: ReadonlyMap<string, DeviceWatts>): DevicesFile {
  const classes = inventory.classes.map((each) => ({ ...each, watts: watts.get(each.name) ?? each.watts }));
  return { ...inventory, classes };
}

/** As `readDevicesFile` reads it: only the keys that a device of its kind has. */
export function devicesJson({ classes, devices, links }: DevicesFile): string {
  const entries = devices.map(({ id, class: name, node, cpus, ordinal }) => ({
    id,
    class: name,
    node,
    ...(cpus === "" ? {} : { cpus }),
    ...(ordinal < 0 ? {} : { ordinal }),
  }));
  return `${JSON.stringify({ formatVersion: DEVICES_FORMAT_VERSION, classes, devices: entries, links }, null, 2)}\n`;
}

/** Cores of a hybrid processor differ in clock rate or in threads. */
function coreKind({ maxKhz, cpus }: PhysicalCore): string {
  return `${maxKhz} kHz, ${cpus.length} threads`;
}

function wholeMebibytes(bytes: number): number {
  return Math.max(1, Math.floor(bytes / MEBIBYTE)) * MEBIBYTE;
}
