/** A rate that a fleet certainly does not exceed, for searches that need an upper end. */
import { type Fleet, meanServiceMs, type ServiceTimes } from "../fleet.ts";

/**
 * Requests a second at which the busiest stage would run all the time, in batches of the size it is fastest at.
 * `reach`: share of all rows that enter each level. Infinity where no row enters any.
 */
export function saturationRate(fleet: Fleet, reach: readonly number[], rowsPerRequest: number): number {
  const rowsPerMs = fleet.levels.map((level) => level.stages.map(() => 0));
  for (const { level, stage, device } of fleet.replicas) {
    const { batch, stages } = fleet.levels[level] ?? {};
    const times = stages?.[stage]?.service.get(fleet.devices[device]?.class ?? "");
    const rates = rowsPerMs[level];
    if (batch === undefined || times === undefined || rates === undefined) continue;
    rates[stage] = (rates[stage] ?? 0) + bestRowsPerMs(times, batch.maxBatchSize);
  }
  return rowsPerMs.reduce((least, stages, level) => {
    const rowsPerArrival = (reach[level] ?? 0) * rowsPerRequest;
    return rowsPerArrival === 0 ? least : Math.min(least, ...stages.map((rate) => (1000 * rate) / rowsPerArrival));
  }, Number.POSITIVE_INFINITY);
}

function bestRowsPerMs(times: ServiceTimes, mostRows: number): number {
  const sizes = [...times.batchSizes.filter((size) => size < mostRows), mostRows];
  return Math.max(...sizes.map((rows) => rows / meanServiceMs(times, rows)));
}
