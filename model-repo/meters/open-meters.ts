/** Finds the energy meters of this machine. */
import type { EnergyMeters } from "./energy-meter.ts";
import { nvmlMeters } from "./nvml.ts";
import { NVML_LIBRARY } from "./nvml-library.ts";
import { raplMeters } from "./rapl.ts";

export interface MeterOptions {
  /** Default `/sys`; tests and containers with the host's tree mounted elsewhere name another. */
  readonly sysfsRoot?: string;
  /** Default `libnvidia-ml.so.1`, found along the loader's path. */
  readonly nvmlLibrary?: string;
  /** Monotonic milliseconds, for meters that add up power. */
  readonly nowMs?: () => number;
}

/** Opens all that can be read and says of the others why not; never rejects. */
export async function openMeters(options: MeterOptions = {}): Promise<EnergyMeters> {
  const rapl = raplMeters(options.sysfsRoot ?? "/sys");
  const nvml = await nvmlMeters(options.nvmlLibrary ?? NVML_LIBRARY, options.nowMs ?? (() => performance.now()));
  return {
    present: [...rapl.present, ...nvml.present],
    absent: [...rapl.absent, ...nvml.absent],
    close: () => nvml.close(),
  };
}
