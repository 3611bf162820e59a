/** What an energy meter is, whatever counts behind it. */

/** What a meter's joules were used by; a meter covers the whole of it, whoever used it. */
export type MeterScope =
  /** A processor package: its cores, caches and memory controller. */
  | "package"
  /** Memory modules of a package, which its own counter leaves out. */
  | "dram"
  /** One graphics card. */
  | "gpu"
  /** A graphics card that is cut up (MIG): the other parts' users are counted too. */
  | "board-shared";

/** A counter that only grows. */
export interface EnergyMeter {
  /** For every figure that comes from it: `rapl:package-0`, `nvml:GPU-0f3c...`. */
  readonly source: string;
  readonly scope: MeterScope;
  /** `counter`: the device counts joules itself; `power-integral`: watts were read now and then and added up. */
  readonly method: "counter" | "power-integral";
  /** CUDA number of the device measured; -1: the processors of this machine. */
  readonly ordinal: number;
  /** The counter may stand still for so long: windows must be many times longer. */
  readonly tickMs: number;
  /** Joules since the meter was opened; one that adds up power must be read about every `tickMs`. Throws UNAVAILABLE where the counter can no longer be read. */
  readJoules(): number;
}

/** A meter that could be here and is not usable. */
export interface AbsentMeter {
  /** `rapl`, `rapl:package-0`, `nvml`, `nvml:0`. */
  readonly source: string;
  /** Why, and what to do about it. */
  readonly reason: string;
}

/** The meters of a machine; where there is none, `present` is empty, and energy is not known rather than zero. */
export interface EnergyMeters {
  readonly present: readonly EnergyMeter[];
  readonly absent: readonly AbsentMeter[];
  /** Gives back the libraries; the meters must not be read afterwards. */
  close(): void;
}

/** Joules of several meters together. */
export function sumJoules(meters: readonly EnergyMeter[]): number {
  return meters.reduce((sum, meter) => sum + meter.readJoules(), 0);
}

/** `rapl:package-0+rapl:dram-0`. */
export function sourceOf(meters: readonly EnergyMeter[]): string {
  return meters.map(({ source }) => source).join("+");
}
