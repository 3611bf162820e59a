/**
 * Power of a fleet (reference: energy accounting of the planner): a device with a model loaded takes its idle watts, and
 * what running adds, either as measured joules of its batches or as (active - idle) watts while it is busy. Devices
 * without a replica take nothing or their bare watts.
 */
import type { DeviceWatts } from "../../proto/files/devices-file.ts";
import type { Fleet } from "../fleet.ts";
import type { SimulatedDevice } from "./device.ts";
import type { SimulatedReplica } from "./replica.ts";
import type { EnergyResult } from "./simulation.ts";
import type { Window } from "./window.ts";

/** null where the watts of a class with devices in use are not known. `answers`: within the window. */
export function fleetEnergy(
  fleet: Fleet,
  devices: readonly SimulatedDevice<SimulatedReplica>[],
  window: Window,
  answers: number,
  unusedDevices: "off" | "bare",
): EnergyResult | null {
  const wattsOf = new Map(fleet.classes.map(({ name, watts }) => [name, watts]));
  const used = new Set(fleet.replicas.map((replica) => replica.device));
  const sources = new Set<string>();
  const seconds = window.lengthMs / 1000;
  let idleWatts = 0;
  let bareWatts = 0;
  let dynamicJ = 0;
  let metered = 0;
  for (const [i, device] of devices.entries()) {
    const isUsed = used.has(i);
    if (!isUsed && unusedDevices === "off") continue;
    const watts: DeviceWatts | null = wattsOf.get(fleet.devices[i]?.class ?? "") ?? null;
    if (watts === null) return null;
    sources.add(watts.source);
    if (!isUsed) {
      bareWatts += watts.bare;
      continue;
    }
    idleWatts += watts.idle;
    if (device.isMetered) metered++;
    dynamicJ += device.isMetered ? device.joules : ((watts.active - watts.idle) * device.busyMs) / 1000;
  }
  const dynamicWatts = dynamicJ / seconds;
  const watts = idleWatts + bareWatts + dynamicWatts;
  return {
    watts,
    idleWatts,
    dynamicWatts,
    bareWatts,
    joulesPerRequest: (watts * seconds) / answers,
    dynamicJoulesPerRequest: dynamicJ / answers,
    source: sourceText([...sources], metered, used.size),
  };
}

function sourceText(sources: readonly string[], metered: number, used: number): string {
  const watts = `watts: ${sources.join("; ")}`;
  if (metered === 0) return `modelled from ${watts}`;
  const share =
    metered === used ? "measured joules of batches" : `measured joules of batches on ${metered} of ${used} devices`;
  return `${share}, idle ${watts}`;
}
