import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readDevicesFile, threadsOf } from "../../../proto/files/devices-file.ts";

const CPU = { name: "core", kind: "cpu", memoryBytes: 2 ** 30, watts: null };
const GPU = {
  name: "h100",
  kind: "cuda",
  memoryBytes: 2 ** 36,
  watts: { bare: 50, idle: 70, active: 700, source: "x" },
};
const FILE = {
  formatVersion: 1,
  classes: [CPU, GPU],
  devices: [
    { id: "a", class: "core", node: "n1", cpus: "0-3,8" },
    { id: "b", class: "core" },
    { id: "g", class: "h100", node: "n1", failureGroup: "rack-1", count: 2, ordinal: 4 },
  ],
  links: { betweenNodes: { bytesPerMs: 5, latencyMs: 1 } },
};

function read(change: object = {}) {
  return readDevicesFile(JSON.stringify({ ...FILE, ...change }), "devices.json");
}

describe("readDevicesFile", () => {
  it("writes out groups, fills in what is left out and counts CUDA numbers up", () => {
    const { classes, devices, links } = read();
    assert.deepEqual(classes, [CPU, GPU]);
    assert.deepEqual(devices, [
      { id: "a", class: "core", node: "n1", failureGroup: "n1", cpus: "0-3,8", ordinal: -1 },
      { id: "b", class: "core", node: "local", failureGroup: "local", cpus: "", ordinal: -1 },
      { id: "g-0", class: "h100", node: "n1", failureGroup: "rack-1", cpus: "", ordinal: 4 },
      { id: "g-1", class: "h100", node: "n1", failureGroup: "rack-1", cpus: "", ordinal: 5 },
    ]);
    assert.deepEqual(links.betweenNodes, { bytesPerMs: 5, latencyMs: 1 });
    assert.ok(links.sameNode.bytesPerMs > 0);
    assert.deepEqual(devices.map(threadsOf), [5, 1, 1, 1]);
  });

  it("reads devices as plans write them, every field given", () => {
    const { classes, devices, links } = read();
    assert.deepEqual(read({ classes, devices, links }), { classes, devices, links });
  });

  it("reads links and watts that are not given as known or default", () => {
    const { classes, links } = readDevicesFile(
      JSON.stringify({ formatVersion: 1, classes: [{ ...CPU, watts: undefined }], devices: [FILE.devices[1]] }),
      "devices.json",
    );
    assert.equal(classes[0]?.watts, null);
    assert.ok(links.sameNode.bytesPerMs > 0 && links.betweenNodes.latencyMs > links.sameNode.latencyMs);
  });

  const one = (device: object) => ({ devices: [{ id: "a", class: "core", ...device }] });
  const cases: readonly (readonly [string, object, RegExp])[] = [
    ["another format", { formatVersion: 2 }, /formatVersion/],
    ["an unknown key", { clases: [] }, /clases is not a known key/],
    ["no device", { devices: [] }, /devices must hold at least one device/],
    ["a class twice", { classes: [CPU, CPU] }, /classes names 'core' twice/],
    ["an id twice", { devices: [FILE.devices[1], FILE.devices[1]] }, /devices names 'b' twice/],
    [
      "an id that a group makes too",
      {
        devices: [
          { ...FILE.devices[2], id: "b" },
          { ...FILE.devices[1], id: "b-0" },
        ],
      },
      /'b-0' twice/,
    ],
    ["an unknown class", one({ class: "cores" }), /devices\[0\]\.class names no class; known: core, h100/],
    ["an id with a blank", one({ id: "a b" }), /devices\[0\]\.id must be up to 128/],
    [
      "cores of a card",
      { devices: [{ id: "g", class: "h100", cpus: "0" }] },
      /devices\[0\]\.cpus must be a list of cores/,
    ],
    ["words for cores", one({ cpus: "all" }), /devices\[0\]\.cpus must be a list/],
    ["a range that goes down", one({ cpus: "3-0" }), /devices\[0\]\.cpus must be a list/],
    ["a count of none", one({ count: 0 }), /devices\[0\]\.count/],
    ["no memory", { classes: [{ ...CPU, memoryBytes: 0 }, GPU] }, /classes\[0\]\.memoryBytes/],
    [
      "an idle above the active power",
      { classes: [CPU, { ...GPU, watts: { ...GPU.watts, idle: 701 } }] },
      /classes\[1\]\.watts\.idle/,
    ],
    [
      "a bare above the idle power",
      { classes: [CPU, { ...GPU, watts: { ...GPU.watts, bare: 71 } }] },
      /classes\[1\]\.watts\.bare/,
    ],
    [
      "a link without bandwidth",
      { links: { sameNode: { bytesPerMs: 0, latencyMs: 0 } } },
      /links\.sameNode\.bytesPerMs must be above 0/,
    ],
    [
      "a card twice",
      {
        devices: [
          { id: "g", class: "h100" },
          { id: "h", class: "h100", ordinal: 0 },
        ],
      },
      /devices names 'cuda:0' of node 'local' twice/,
    ],
  ];
  for (const [what, change, text] of cases) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => read(change),
        (error: Error) => {
          assert.match(error.message, /^devices\.json: /);
          assert.match(error.message, text);
          return true;
        },
      );
    });
  }

  it("refuses what is no JSON", () => {
    assert.throws(() => readDevicesFile("{", "devices.json"), /devices\.json: not valid JSON/);
  });
});
