import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { devicesJson, firstInventory, withWatts } from "../../../cli/devices/first-inventory.ts";
import { readDevicesFile } from "../../../proto/files/devices-file.ts";

const GIB = 2 ** 30;
const CARD = { name: "NVIDIA H100 80GB HBM3", memoryBytes: 80 * GIB };
const FACTS = {
  cores: [
    { cpus: [0, 2], maxKhz: 5_000_000 },
    { cpus: [1, 3], maxKhz: 5_000_000 },
  ],
  memoryBytes: 10 * GIB,
  cards: [],
};

describe("firstInventory", () => {
  it("has a device for each core, which share what memory is not kept for the system", () => {
    const { classes, devices } = firstInventory(FACTS);
    assert.deepEqual(classes, [{ name: "core", kind: "cpu", memoryBytes: 4 * GIB, watts: null }]);
    assert.deepEqual(
      devices.map(({ id, class: name, cpus }) => [id, name, cpus]),
      [
        ["core-0", "core", "0,2"],
        ["core-1", "core", "1,3"],
      ],
    );
  });

  it("has a class for each kind of core, the fastest first", () => {
    const cores = [{ cpus: [0], maxKhz: 900_000 }, ...FACTS.cores, { cpus: [9], maxKhz: 900_000 }];
    const { classes, devices } = firstInventory({ ...FACTS, cores });
    assert.deepEqual(
      devices.map((device) => device.class),
      ["core-1", "core-0", "core-0", "core-1"],
    );
    assert.equal(classes.length, 2);
  });

  it("has a class for each name of card", () => {
    const cards = [
      { ...CARD, ordinal: 0 },
      { ...CARD, ordinal: 1 },
    ];
    const { classes, devices } = firstInventory({ ...FACTS, cards });
    assert.deepEqual(classes[1], {
      name: "nvidia-h100-80gb-hbm3",
      kind: "cuda",
      memoryBytes: 72 * GIB,
      watts: null,
    });
    assert.deepEqual(
      devices.slice(2).map(({ id, ordinal, cpus }) => [id, ordinal, cpus]),
      [
        ["gpu-0", 0, ""],
        ["gpu-1", 1, ""],
      ],
    );
  });

  it("writes what the reader reads", () => {
    const watts = { bare: 5, idle: 5, active: 20, source: "measured" };
    const plain = firstInventory({ ...FACTS, cards: [{ ...CARD, ordinal: 3 }] });
    const inventory = withWatts(plain, new Map([["core", watts]]));
    assert.deepEqual(readDevicesFile(devicesJson(inventory), "devices.json"), inventory);
    assert.deepEqual(
      inventory.classes.map((each) => each.watts),
      [watts, null],
    );
  });
});
