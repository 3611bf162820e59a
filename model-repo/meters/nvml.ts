/** Energy counters of NVIDIA cards: the driver's library libnvidia-ml, called through koffi. */
import { InferenceError } from "../../proto/errors.ts";
import type { AbsentMeter, EnergyMeter } from "./energy-meter.ts";

/** Where the driver puts it; the loader looks along its path. */
export const NVML_LIBRARY = "libnvidia-ml.so.1";

/** nvmlReturn_t. */
const SUCCESS = 0;
const NOT_SUPPORTED = 3;
/** nvmlDeviceGetMigMode: the card is cut into instances. */
const MIG_ENABLED = 1;
const UUID_BYTES = 96;
/** Counters and power readings of data-centre cards stand still for about this long. */
const TICK_MS = 100;

/** The functions used, checked: each throws UNAVAILABLE with the library's own text. */
interface Nvml {
  deviceCount(): number;
  handle(index: number): unknown;
  uuid(handle: unknown): string;
  isCut(handle: unknown): boolean;
  /** undefined: the card has no counter (before Volta). */
  energyMillijoules(handle: unknown): number | undefined;
  powerMilliwatts(handle: unknown): number;
  close(): void;
}

export interface NvmlMeters {
  readonly present: readonly EnergyMeter[];
  readonly absent: readonly AbsentMeter[];
  close(): void;
}

/** Meters of all cards that the driver shows; `nowMs` is a monotonic clock. */
export async function nvmlMeters(library: string, nowMs: () => number): Promise<NvmlMeters> {
  let nvml: Nvml;
  let count: number;
  try {
    nvml = await openNvml(library);
    count = nvml.deviceCount();
  } catch (error) {
    const absent = [{ source: "nvml", reason: InferenceError.from(error).message }];
    return { present: [], absent, close: () => undefined };
  }
  const present: EnergyMeter[] = [];
  const absent: AbsentMeter[] = [];
  if (count === 0) absent.push({ source: "nvml", reason: "the NVIDIA driver shows no card" });
  for (let ordinal = 0; ordinal < count; ordinal++) {
    try {
      present.push(cardMeter(nvml, ordinal, nowMs));
    } catch (error) {
      absent.push({ source: `nvml:${ordinal}`, reason: InferenceError.from(error).message });
    }
  }
  return { present, absent, close: () => nvml.close() };
}

function cardMeter(nvml: Nvml, ordinal: number, nowMs: () => number): EnergyMeter {
  const handle = nvml.handle(ordinal);
  const source = `nvml:${nvml.uuid(handle)}`;
  const scope = nvml.isCut(handle) ? "board-shared" : "gpu";
  const first = nvml.energyMillijoules(handle);
  if (first !== undefined) {
    const readJoules = () => ((nvml.energyMillijoules(handle) ?? first) - first) / 1000;
    return { source, scope, method: "counter", ordinal, tickMs: TICK_MS, readJoules };
  }
  const readJoules = integrator(() => nvml.powerMilliwatts(handle) / 1000, nowMs);
  return { source, scope, method: "power-integral", ordinal, tickMs: TICK_MS, readJoules };
}

/** Joules from watts read at each call, by the trapezoidal rule: as good as it is called often. */
export function integrator(watts: () => number, nowMs: () => number): () => number {
  let joules = 0;
  let lastWatts = watts();
  let lastMs = nowMs();
  return () => {
    const nextWatts = watts();
    const nextMs = nowMs();
    joules += ((lastWatts + nextWatts) / 2) * ((nextMs - lastMs) / 1000);
    lastWatts = nextWatts;
    lastMs = nextMs;
    return joules;
  };
}

/** Loads and starts the library. Throws UNAVAILABLE with what is missing. */
async function openNvml(path: string): Promise<Nvml> {
  const koffi = await import("koffi").catch((error: unknown) => {
    throw unavailable(`the package koffi, through which ${path} is called, cannot be loaded: ${String(error)}`);
  });
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(path);
  } catch (error) {
    throw unavailable(`${path} cannot be loaded, install the NVIDIA driver: ${messageOf(error)}`);
  }
  try {
    const device = koffi.pointer(koffi.opaque());
    const outUint = koffi.out(koffi.pointer("uint32"));
    const errorString = library.func("nvmlErrorString", "str", ["int"]);
    const check = (call: string, code: number): void => {
      if (code !== SUCCESS) throw unavailable(`${call}: ${String(errorString(code))} (code ${code})`);
    };
    /** Functions that fill in one number of the card. */
    const deviceNumber = (call: string, type: "uint32" | "uint64") => {
      const run = library.func(call, "int", [device, koffi.out(koffi.pointer(type))]);
      return (handle: unknown): number | undefined => {
        const value = [0];
        const code = Number(run(handle, value));
        if (code === NOT_SUPPORTED) return undefined;
        check(call, code);
        return Number(value[0]);
      };
    };
    const init = library.func("nvmlInit_v2", "int", []);
    const shutdown = library.func("nvmlShutdown", "int", []);
    const getCount = library.func("nvmlDeviceGetCount_v2", "int", [outUint]);
    const getHandle = library.func("nvmlDeviceGetHandleByIndex_v2", "int", [
      "uint32",
      koffi.out(koffi.pointer(device)),
    ]);
    const getUuid = library.func("nvmlDeviceGetUUID", "int", [device, koffi.out(koffi.pointer("char")), "uint32"]);
    const getMigMode = library.func("nvmlDeviceGetMigMode", "int", [device, outUint, outUint]);
    const energyMillijoules = deviceNumber("nvmlDeviceGetTotalEnergyConsumption", "uint64");
    const power = deviceNumber("nvmlDeviceGetPowerUsage", "uint32");
    check("nvmlInit_v2", Number(init()));
    return {
      deviceCount: () => {
        const count = [0];
        check("nvmlDeviceGetCount_v2", Number(getCount(count)));
        return Number(count[0]);
      },
      handle: (index) => {
        const handle: unknown[] = [null];
        check("nvmlDeviceGetHandleByIndex_v2", Number(getHandle(index, handle)));
        return handle[0];
      },
      uuid: (handle) => {
        const text = Buffer.alloc(UUID_BYTES);
        check("nvmlDeviceGetUUID", Number(getUuid(handle, text, UUID_BYTES)));
        return text.toString("latin1", 0, text.indexOf(0));
      },
      // Cards without MIG answer NOT_SUPPORTED.
      isCut: (handle) => {
        const current = [0];
        return Number(getMigMode(handle, current, [0])) === SUCCESS && Number(current[0]) === MIG_ENABLED;
      },
      energyMillijoules,
      powerMilliwatts: (handle) => {
        const milliwatts = power(handle);
        if (milliwatts !== undefined) return milliwatts;
        throw unavailable("the card tells neither energy (nvmlDeviceGetTotalEnergyConsumption) nor power");
      },
      close: () => {
        shutdown();
        library.unload();
      },
    };
  } catch (error) {
    library.unload();
    throw error instanceof InferenceError ? error : unavailable(`${path} lacks a function: ${messageOf(error)}`);
  }
}

function unavailable(message: string): InferenceError {
  return new InferenceError("UNAVAILABLE", message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
