/** The driver's library libnvidia-ml, called through koffi. */
import { InferenceError } from "../../proto/errors.ts";

/** Where the driver puts it; the loader looks along its path. */
export const NVML_LIBRARY = "libnvidia-ml.so.1";

/** nvmlReturn_t. */
const SUCCESS = 0;
const NOT_SUPPORTED = 3;
/** nvmlDeviceGetMigMode: the card is cut into instances. */
const MIG_ENABLED = 1;
const UUID_BYTES = 96;
const NAME_BYTES = 96;
/** nvmlMemory_t: total, free and used, 64 bits each. */
const MEMORY_BYTES = 3 * 8;

/** The functions used, checked: each throws UNAVAILABLE with the library's own text. */
export interface Nvml {
  deviceCount(): number;
  handle(index: number): unknown;
  uuid(handle: unknown): string;
  /** Such as `NVIDIA H100 80GB HBM3`. */
  cardName(handle: unknown): string;
  memory(handle: unknown): { readonly totalBytes: number; readonly usedBytes: number };
  isCut(handle: unknown): boolean;
  /** undefined: the card has no counter (before Volta). */
  energyMillijoules(handle: unknown): number | undefined;
  powerMilliwatts(handle: unknown): number;
  close(): void;
}

/** Loads and starts the library. Throws UNAVAILABLE with what is missing. */
export async function openNvml(path: string): Promise<Nvml> {
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
    /** Functions that fill in a text of the card. */
    const deviceText = (call: string, bytes: number) => {
      const run = library.func(call, "int", [device, koffi.out(koffi.pointer("char")), "uint32"]);
      return (handle: unknown): string => {
        const text = Buffer.alloc(bytes);
        check(call, Number(run(handle, text, bytes)));
        return text.toString("latin1", 0, text.indexOf(0));
      };
    };
    const getMemory = library.func("nvmlDeviceGetMemoryInfo", "int", [device, "void *"]);
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
      uuid: deviceText("nvmlDeviceGetUUID", UUID_BYTES),
      cardName: deviceText("nvmlDeviceGetName", NAME_BYTES),
      memory: (handle) => {
        const numbers = Buffer.alloc(MEMORY_BYTES);
        check("nvmlDeviceGetMemoryInfo", Number(getMemory(handle, numbers)));
        return { totalBytes: Number(numbers.readBigUInt64LE(0)), usedBytes: Number(numbers.readBigUInt64LE(16)) };
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
