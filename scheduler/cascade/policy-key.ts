/** Whether two cascade files are of the same policy. */
import type { CascadeFile } from "../../proto/files/cascade-file.ts";

/**
 * Equal for two files that say the same of levels and gates, and were calibrated on the same level files. (That a level
 * runs from other files than these voids the certificates; an alarm outlives it.)
 */
export function policyKey({ levels, operatingPoints, calibration }: CascadeFile): string {
  const wired = JSON.stringify(levels.map((level) => ({ ...level, cost: null })));
  const points = operatingPoints.map(({ name, gates, certificate }) => {
    // the hash is over levels and gates, whatever the order of keys in the file
    return [name, certificate?.policyHash ?? [wired, gates]];
  });
  return JSON.stringify([points, calibration?.levelHashes ?? null]);
}
