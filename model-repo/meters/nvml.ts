/** Energy counters of NVIDIA cards: what the driver tells of each. */
import { InferenceError } from "../../proto/errors.ts";
import type { AbsentMeter, EnergyMeter } from "./energy-meter.ts";
import { type Nvml, openNvml } from "./nvml-library.ts";

/** Counters and power readings of data-centre cards stand still for about this long. */
const TICK_MS = 100;

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
