/** devices.json: the machines a plan may use. Classes say what kinds of device there are, devices how many and where. */
import { coresOf } from "../core-list.ts";
import { JsonField } from "./json-field.ts";

export const DEVICES_FORMAT_VERSION = 1;

export interface DevicesFile {
  readonly classes: readonly DeviceClass[];
  /** One entry a device: a group with `count` has been written out. */
  readonly devices: readonly Device[];
  readonly links: Links;
}

export const DEVICE_KINDS = ["cpu", "cuda"] as const;

/** Devices of one class run every model equally fast; profiles are taken by class. */
export interface DeviceClass {
  readonly name: string;
  readonly kind: (typeof DEVICE_KINDS)[number];
  /** Usable by models; enforced on the processes of a device. */
  readonly memoryBytes: number;
  /** null: power is not known, and energy is then not predicted. */
  readonly watts: DeviceWatts | null;
}

export interface DeviceWatts {
  /** Nothing loaded: what the device takes when the plan leaves it out but on. */
  readonly bare: number;
  /** A model is loaded, nothing runs. */
  readonly idle: number;
  /** A model runs all the time. */
  readonly active: number;
  /** Where the figures come from, for the reader: `measured: RAPL package`, `data sheet`, `guess`. */
  readonly source: string;
}

export interface Device {
  readonly id: string;
  readonly class: string;
  /** Machine that holds the device; stages on one node hand over tensors faster than over the network. */
  readonly node: string;
  /** Devices that fail together, such as a rack; the node where the file names none. */
  readonly failureGroup: string;
  /** Core list of a CPU device, such as `0-3,8`; "" for other kinds. */
  readonly cpus: string;
  /** Number of a CUDA device on its node; -1 for other kinds. */
  readonly ordinal: number;
}

export interface Links {
  readonly sameNode: Link;
  readonly betweenNodes: Link;
}

/** Time to hand over n bytes: `latencyMs + n / bytesPerMs`. */
export interface Link {
  readonly bytesPerMs: number;
  readonly latencyMs: number;
}

const ID = /^[A-Za-z0-9_.-]{1,128}$/;
const CORE_LIST = /^\d+(-\d+)?(,\d+(-\d+)?)*$/;
/** Highest count of one entry: ten times the largest fleet planned in the benchmarks. */
const MOST_DEVICES = 100_000;

/** Links of one machine's memory and of a 10 Gbit/s network, where the file says nothing. */
const DEFAULT_LINKS: Links = {
  sameNode: { bytesPerMs: 1e6, latencyMs: 0.1 },
  betweenNodes: { bytesPerMs: 1.25e6, latencyMs: 0.2 },
};

/** Threads of a run on the device: one for each core that it is pinned to. Profiles and plans both use so many. */
export function threadsOf({ cpus }: Device): number {
  return Math.max(1, coresOf(cpus).length);
}

/** Reads and checks devices.json; throws INVALID_ARGUMENT naming file and field. */
export function readDevicesFile(text: string, file: string): DevicesFile {
  return devicesOf(JsonField.parse(text, file));
}

/** The same where the devices are part of another file. */
export function devicesOf(root: JsonField): DevicesFile {
  root.object(["formatVersion", "classes", "devices", "links"]);
  root.get("formatVersion").integer(DEVICES_FORMAT_VERSION, DEVICES_FORMAT_VERSION);
  const classes = root.get("classes").items().map(readClass);
  requireUnique(
    root.get("classes"),
    classes.map((each) => each.name),
  );
  const devices = root
    .get("devices")
    .items()
    .flatMap((entry) => readDevices(entry, classes));
  if (devices.length === 0) throw root.get("devices").error("must hold at least one device");
  requireUnique(
    root.get("devices"),
    devices.map((device) => device.id),
  );
  requireUnique(
    root.get("devices"),
    devices.filter(({ ordinal }) => ordinal >= 0).map(({ node, ordinal }) => `cuda:${ordinal}' of node '${node}`),
  );
  const links = root.optional("links");
  return { classes, devices, links: links === undefined ? DEFAULT_LINKS : readLinks(links) };
}

function readClass(field: JsonField): DeviceClass {
  field.object(["name", "kind", "memoryBytes", "watts"]);
  const watts = field.optional("watts");
  return {
    name: idOf(field.get("name")),
    kind: field.get("kind").oneOf(DEVICE_KINDS),
    memoryBytes: field.get("memoryBytes").integer(1),
    watts: watts === undefined || watts.isNull() ? null : readWatts(watts),
  };
}

function readWatts(field: JsonField): DeviceWatts {
  field.object(["bare", "idle", "active", "source"]);
  const active = field.get("active").number(0);
  const idle = field.get("idle").number(0, active);
  return { bare: field.get("bare").number(0, idle), idle, active, source: field.get("source").string() };
}

/** One entry is one device, or `count` alike ones with `-0`, `-1` ... behind the id; of a CUDA class ordinals count up. */
function readDevices(field: JsonField, classes: readonly DeviceClass[]): Device[] {
  field.object(["id", "class", "node", "failureGroup", "cpus", "ordinal", "count"]);
  const id = idOf(field.get("id"));
  const className = field.get("class").string();
  const kind = classes.find((each) => each.name === className)?.kind;
  if (kind === undefined) {
    throw field.get("class").error(`names no class; known: ${classes.map((each) => each.name).join(", ")}`);
  }
  const node = field.optional("node")?.string() ?? "local";
  const failureGroup = field.optional("failureGroup")?.string() ?? node;
  const cores = field.optional("cpus");
  // As plans write devices without cores of their own.
  const cpus = cores === undefined || cores.value === "" ? "" : cores.string();
  if (cpus !== "" && (kind !== "cpu" || !isCoreList(cpus))) {
    throw field.get("cpus").error("must be a list of cores such as 0-3,8, on a device of kind cpu");
  }
  const first = kind === "cuda" ? (field.optional("ordinal")?.integer(0, 1023) ?? 0) : -1;
  const count = field.optional("count")?.integer(1, MOST_DEVICES);
  const one = { class: className, node, failureGroup, cpus };
  if (count === undefined) return [{ id, ...one, ordinal: first }];
  return Array.from({ length: count }, (_, i) => ({
    id: `${id}-${i}`,
    ...one,
    ordinal: first < 0 ? -1 : first + i,
  }));
}

/** `3-0` names no core and would bind a process to none. */
function isCoreList(text: string): boolean {
  if (!CORE_LIST.test(text)) return false;
  return text.split(",").every((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Number(first) <= Number(last);
  });
}

function readLinks(field: JsonField): Links {
  field.object(["sameNode", "betweenNodes"]);
  const link = (name: "sameNode" | "betweenNodes"): Link => {
    const entry = field.optional(name)?.object(["bytesPerMs", "latencyMs"]);
    if (entry === undefined) return DEFAULT_LINKS[name];
    const bytesPerMs = entry.get("bytesPerMs").number(0);
    if (bytesPerMs === 0) throw entry.get("bytesPerMs").error("must be above 0");
    return { bytesPerMs, latencyMs: entry.get("latencyMs").number(0) };
  };
  return { sameNode: link("sameNode"), betweenNodes: link("betweenNodes") };
}

function idOf(field: JsonField): string {
  const id = field.string();
  if (!ID.test(id)) throw field.error("must be up to 128 letters, digits, '.', '_' or '-'");
  return id;
}

function requireUnique(field: JsonField, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw field.error(`names '${name}' twice`);
    seen.add(name);
  }
}
