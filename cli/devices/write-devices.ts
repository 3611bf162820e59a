/** `hybridserve doctor --devices`: the first devices.json of this machine. */
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { EnergyMeters } from "../../model-repo/meters/energy-meter.ts";
import { nvidiaCards } from "../../model-repo/meters/nvidia-cards.ts";
import { describeOnnxRuntime } from "../../model-repo/onnx-providers.ts";
import { usableCores } from "../../model-repo/usable-cores.ts";
import { coresOf } from "../../proto/core-list.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { DevicesFile, DeviceWatts } from "../../proto/files/devices-file.ts";
import { type CommandIo, EXIT_OK } from "../command.ts";
import { describeMachine } from "../machine.ts";
import { physicalCores } from "./core-topology.ts";
import { devicesJson, firstInventory, withWatts } from "./first-inventory.ts";
import { busyThreads, measureWatts } from "./measure-watts.ts";

export interface DevicesFlags {
  readonly output?: string | undefined;
  readonly json: boolean;
  readonly "sysfs-root"?: string | undefined;
  readonly "nvml-library"?: string | undefined;
}

const WATTS_WINDOW_MS = 2_000;

/** Writes the inventory to the output or to `io`; what a reader should know about it goes to standard error. */
export async function writeDevices(flags: DevicesFlags, meters: EnergyMeters, io: CommandIo): Promise<number> {
  const note = (text: string) => io.stderr(`${text}\n`);
  const plain = await inventoryOfThisMachine(flags, note);
  const inventory = withWatts(plain, await wattsOf(plain, meters, note));
  const text = devicesJson(inventory);
  if (flags.output === undefined) {
    io.stdout(text);
  } else {
    await writeFile(flags.output, text).catch((error: unknown) => {
      throw new InferenceError(
        "UNAVAILABLE",
        `cannot write --output: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
    const classes = inventory.classes.map(({ name }) => {
      const count = inventory.devices.filter((device) => device.class === name).length;
      return `${count} of class '${name}'`;
    });
    if (flags.json) {
      io.stdout(text);
      return EXIT_OK;
    }
    io.stdout(
      `Written: ${flags.output}: ${classes.join(", ")}. Next:\n  hybridserve profile --model-repository DIR ` +
        `--model NAME --devices ${flags.output} --output profile.json\n`,
    );
  }
  return EXIT_OK;
}

/** The devices of this machine without watts. */
export async function inventoryOfThisMachine(
  flags: Pick<DevicesFlags, "sysfs-root" | "nvml-library">,
  note: (text: string) => void,
): Promise<DevicesFile> {
  const { memoryBytes, memoryLimitBytes } = describeMachine();
  const { cards } = await nvidiaCards(flags["nvml-library"]);
  const hasCuda = cards.length > 0 && (await isCudaInstalled());
  if (cards.length > 0 && !hasCuda) {
    note(
      `note: ${cards.length} NVIDIA cards are left out: the CUDA provider of onnxruntime-node is not installed; ` +
        "'hybridserve doctor' says how",
    );
  }
  return firstInventory({
    cores: physicalCores(flags["sysfs-root"] ?? "/sys", await usableCores()),
    memoryBytes: memoryLimitBytes ?? memoryBytes,
    cards: hasCuda ? cards : [],
  });
}

async function isCudaInstalled(): Promise<boolean> {
  const { providers } = await describeOnnxRuntime();
  return providers.some(({ name, state }) => name === "cuda" && state !== "missing");
}

/** Of the processors' class, where there is one: meters cannot tell kinds of cores apart. */
async function wattsOf(
  inventory: DevicesFile,
  meters: EnergyMeters,
  note: (text: string) => void,
): Promise<ReadonlyMap<string, DeviceWatts>> {
  const classes = inventory.classes.filter(({ kind }) => kind === "cpu");
  const cores = inventory.devices.filter(({ ordinal }) => ordinal < 0);
  const ofProcessors = meters.present.filter(({ ordinal }) => ordinal < 0);
  const [only] = classes;
  if (ofProcessors.length === 0 || only === undefined || classes.length > 1) {
    const why =
      ofProcessors.length === 0
        ? "this machine's processors have no readable energy meter"
        : "the processors' meters cannot tell different kinds of cores apart";
    note(
      `note: watts are not known (null): ${why}. Planning for throughput needs none; for energy enter measured ones.`,
    );
    return new Map();
  }
  note("measuring what the processors draw, idle and busy: takes some seconds");
  const measured = await measureWatts({
    meters: ofProcessors,
    devices: cores.length,
    windowMs: WATTS_WINDOW_MS,
    keepBusy: () => busyThreads(cores.flatMap(({ cpus }) => coresOf(cpus)).length),
    sleep: (ms) => sleep(ms),
    nowMs: () => performance.now(),
  });
  return new Map(measured === null ? [] : [[only.name, measured]]);
}
