import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { arrivalProcess, parseTrace, recordedRouting } from "../../../cli/simulate/recorded.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const PATHS = [
  [0.5, 0.5],
  [0, 1],
];

function exits(...levels: number[]): Uint8Array {
  const data = new Uint8Array(Int32Array.from(levels).buffer);
  return writeNpz(new Map([["exits", { datatype: "INT32", shape: [levels.length], data }]]));
}

describe("a trace of arrivals", () => {
  it("is a time a line; comments and empty lines do not count", () => {
    assert.deepEqual([...parseTrace("# ms\n0\n\n1.5\n1.5\n 4 \n", "t.txt")], [0, 1.5, 1.5, 4]);
  });

  it("names the line that is no time, or before the one above it", () => {
    assert.throws(() => parseTrace("0\nsoon\n", "t.txt"), /^InferenceError: t\.txt:2: 'soon' must be a time/);
    assert.throws(() => parseTrace("5\n4\n", "t.txt"), /t\.txt:2: '4' must be a time in milliseconds, not before/);
    assert.throws(() => parseTrace("5\n", "t.txt"), /at least two times/);
  });

  it("lies beside the workload and tells how bursty it is", async (context) => {
    const folder = await temporaryFiles(context, { "even.txt": "0\n10\n20\n30\n", "burst.txt": "0\n0\n0\n30\n" });
    const read = (file: string) => arrivalProcess({ process: "trace", file }, join(folder, "workload.json"));
    assert.equal((await read("even.txt")).cv, 0);
    assert.ok(Math.abs((await read("burst.txt")).cv - Math.SQRT2) < 1e-9);
    await assert.rejects(read("gone.txt"), /^InferenceError: the workload names a file: ENOENT/);
  });

  it("is not needed for arrivals by formula", async () => {
    assert.deepEqual(await arrivalProcess({ process: "gamma", cv: 3 }, "w.json"), {
      process: { process: "gamma", cv: 3 },
      cv: 3,
    });
    assert.equal((await arrivalProcess({ process: "poisson" }, "w.json")).cv, 1);
  });
});

describe("recorded exits", () => {
  it("become ways through the levels", async (context) => {
    const folder = await temporaryFiles(context, { "exits.npz": exits(0, 1, 0) });
    const routing = await recordedRouting("exits.npz", PATHS, join(folder, "workload.json"));
    assert.ok(routing.kind === "recorded");
    assert.deepEqual([...routing.ways], [0b01, 0b11, 0b01]);
  });

  it("name a level that the workload does not have, and a file without them", async (context) => {
    const other = writeNpz(new Map([["rows", { datatype: "UINT8", shape: [1], data: new Uint8Array(1) }]]));
    const folder = await temporaryFiles(context, { "exits.npz": exits(0, 2), "other.npz": other });
    const read = (file: string) => recordedRouting(file, PATHS, join(folder, "workload.json"));
    await assert.rejects(read("exits.npz"), /exits\[1\] is 2, the workload has levels 0 to 1/);
    await assert.rejects(read("other.npz"), /needs an array 'exits' with the level that answered each row/);
  });
});
