/** devices.json of the example: some of this machine's cores, with little memory each. */
import { readFile, writeFile } from "node:fs/promises";
import { devicesJson } from "../../cli/devices/first-inventory.ts";
import { readDevicesFile } from "../../proto/files/devices-file.ts";
import type { Family } from "./family.ts";

/**
 * Takes the first cores of one kind that `doctor --devices` found. Throws where there are too few: each stage needs a core
 * of its own for its times to hold.
 */
export async function writeInventory(found: string, output: string, { devices, memoryMib }: Family): Promise<void> {
  const inventory = readDevicesFile(await readFile(found, "utf8"), found);
  const kind = inventory.devices.find(({ ordinal }) => ordinal < 0)?.class;
  const cores = inventory.devices.filter((device) => device.class === kind).slice(0, devices);
  if (cores.length < devices) {
    throw new Error(`this family needs ${devices} cores of one kind, this machine has ${cores.length}`);
  }
  const classes = inventory.classes
    .filter(({ name }) => name === kind)
    .map((each) => ({ ...each, memoryBytes: memoryMib * 2 ** 20 }));
  await writeFile(output, devicesJson({ ...inventory, classes, devices: cores }));
}
