/** What the processors of this machine draw, idle and busy, where a meter tells. */
import { Worker } from "node:worker_threads";
import { type EnergyMeter, sourceOf, sumJoules } from "../../model-repo/meters/energy-meter.ts";
import type { DeviceWatts } from "../../proto/files/devices-file.ts";

export interface WattsOptions {
  /** Meters of the processors: all of them, for they are added up. */
  readonly meters: readonly EnergyMeter[];
  /** Devices that share what the processors draw. */
  readonly devices: number;
  readonly windowMs: number;
  /** Keeps every core busy; resolves once they are, to a function that ends it. */
  keepBusy(): Promise<() => Promise<void>>;
  sleep(ms: number): Promise<void>;
  nowMs(): number;
}

/** Clock rates and temperature follow the load after a moment. */
const SETTLE_MS = 500;

/** Each device's share of the idle and of the busy processors; null where there is no meter. */
export async function measureWatts(options: WattsOptions): Promise<DeviceWatts | null> {
  const { meters, devices, sleep } = options;
  if (meters.length === 0 || devices === 0) return null;
  await sleep(SETTLE_MS);
  const idle = (await meanWatts(options)) / devices;
  const stop = await options.keepBusy();
  try {
    await sleep(SETTLE_MS);
    const active = Math.max(idle, (await meanWatts(options)) / devices);
    const source = `measured: ${sourceOf(meters)}, idle and with a busy loop on every core, shared by ${devices} devices`;
    return { bare: watts(idle), idle: watts(idle), active: watts(active), source };
  } finally {
    await stop();
  }
}

/** A loop of arithmetic in a thread for each core. */
export async function busyThreads(count: number): Promise<() => Promise<void>> {
  const source = "let x = 1; require('node:worker_threads').parentPort.postMessage(0); for (;;) x = Math.sqrt(x + 1);";
  const workers = Array.from({ length: count }, () => new Worker(source, { eval: true }));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
  return async () => {
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
}

async function meanWatts({ meters, windowMs, sleep, nowMs }: WattsOptions): Promise<number> {
  const startedMs = nowMs();
  const before = sumJoules(meters);
  await sleep(windowMs);
  return (sumJoules(meters) - before) / ((nowMs() - startedMs) / 1000);
}

function watts(value: number): number {
  return Number(value.toFixed(2));
}
