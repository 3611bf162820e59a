import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { zipSync } from "fflate";
import { InferenceError } from "../../../proto/errors.ts";
import { type NpyArray, writeNpy } from "../../../proto/files/npy.ts";
import { decodeStrings } from "../../../proto/files/npy-strings.ts";
import { readNpz, writeNpz } from "../../../proto/files/npz.ts";
import { skipWithout } from "../../support/missing-tool.ts";
import { runCommand } from "../../support/run-command.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const PYTHON = await pythonWithNumpy();
const DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"];

describe("npz", () => {
  it("reads what it wrote, in order, and writes the same bytes again", () => {
    const arrays = new Map<string, NpyArray>([
      ["output:b", { datatype: "FP32", shape: [2, 3], data: new Uint8Array(24).map((_, i) => i) }],
      ["a", { datatype: "INT64", shape: [1], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }],
      ["scalar", { datatype: "BOOL", shape: [], data: Uint8Array.of(1) }],
      ["empty", { datatype: "FP16", shape: [0, 4], data: new Uint8Array() }],
    ]);
    const bytes = writeNpz(arrays);
    const read = readNpz(bytes, "x.npz");
    assert.deepEqual([...read.keys()], [...arrays.keys()]);
    for (const [name, array] of arrays) assert.deepEqual(plain(read.get(name)), plain(array));
    assert.deepEqual(writeNpz(arrays), bytes);
  });

  it("writes bytes that do not depend on the time zone", async () => {
    const script =
      'import { writeNpz } from "./proto/files/npz.ts"; process.stdout.write(Buffer.from(writeNpz(new Map([["a", ' +
      '{ datatype: "UINT8", shape: [2], data: Uint8Array.of(1, 2) }]]))).toString("hex"))';
    const cwd = fileURLToPath(new URL("../../../", import.meta.url));
    const [west, east] = await Promise.all(
      ["America/Los_Angeles", "Asia/Tokyo"].map((zone) =>
        runCommand(process.execPath, ["--input-type=module-typescript", "-e", script], {
          cwd,
          env: { ...process.env, TZ: zone },
        }),
      ),
    );
    assert.equal(west?.stderr, "");
    assert.ok((west?.stdout.length ?? 0) > 100);
    assert.equal(west?.stdout, east?.stdout);
  });

  it("refuses what unpacks to more than the limit before unpacking it", () => {
    const bomb = writeNpz(new Map([["a", { datatype: "UINT8", shape: [1 << 22], data: new Uint8Array(1 << 22) }]]));
    assert.ok(bomb.byteLength < 20_000);
    assert.throws(
      () => readNpz(bomb, "x.npz", 1 << 20),
      refusal(/^x\.npz: unpacks to 4194\d+ bytes, at most 1048576$/),
    );
  });

  it("refuses an archive that unpacks to more than its directory says", () => {
    const bytes = writeNpz(new Map([["a", { datatype: "UINT8", shape: [5000], data: new Uint8Array(5000) }]]));
    const view = new DataView(bytes.buffer);
    view.setUint32(view.getUint32(bytes.byteLength - 6, true) + 24, 100, true); // directory: unpacked size
    assert.throws(() => readNpz(bytes, "x.npz"), refusal(/^x\.npz: 'a\.npy' cannot be unpacked: /));
  });

  it("leaves the file's bytes as they are, Buffers too", () => {
    const npy = writeNpy({ datatype: "INT16", shape: [2], data: Uint8Array.of(1, 2, 3, 4) }, "a");
    const file = Buffer.from(zipSync({ "a.npy": withHeader(npy, "<i2", ">i2") }, { level: 0 }));
    const before = Buffer.from(file);
    for (let time = 0; time < 2; time++) {
      const array = readNpz(file, "x.npz").get("a");
      assert.deepEqual(plain(array)?.data, [2, 1, 4, 3]);
      assert.ok(!Buffer.isBuffer(array?.data));
    }
    assert.deepEqual(file, before);
  });

  it("names file and array where something is wrong", () => {
    const array: NpyArray = { datatype: "UINT8", shape: [3], data: Uint8Array.of(7, 8, 9) };
    const npy = writeNpy(array, "a");
    const zipped = (files: Record<string, Uint8Array>) => zipSync(files, { level: 0 });
    const damaged = zipped({ "a.npy": npy });
    damaged[damaged.indexOf(7, 100)] = 6; // the first element
    const cases: [Uint8Array, RegExp][] = [
      [
        zipped({ "a.npy": npy.subarray(0, -1) }),
        /^x\.npz: array 'a' holds 2 bytes of elements, expected 3 for shape \[3\]$/,
      ],
      [zipped({ "a.npy": npy.subarray(0, 40) }), /^x\.npz: array 'a' ends within its header$/],
      [zipped({ "a.txt": npy }), /^x\.npz: 'a\.txt' is not a \.npy array$/],
      [zipped({ "a.npy": new Uint8Array(20) }), /^x\.npz: array 'a' is not a \.npy array$/],
      [zipped({ "a.npy": withHeader(npy, "|u1", "|O8") }), /Python objects \(pickled\)/],
      [zipped({ "a.npy": withHeader(npy, "|u1", "<c8") }), /^x\.npz: array 'a' has dtype '<c8'; known are u1|b1/],
      [damaged, /^x\.npz: 'a\.npy' is damaged: its check sum does not match$/],
      [zipped({ "a.npy": npy }).subarray(0, -3), /^x\.npz: not a zip archive, or a truncated one$/],
      [new Uint8Array(), /^x\.npz: not a zip archive, or a truncated one$/],
    ];
    for (const [bytes, message] of cases) assert.throws(() => readNpz(bytes, "x.npz"), refusal(message));
    assert.throws(
      () => writeNpy({ datatype: "BF16", shape: [1], data: new Uint8Array(2) }, "array 'a'"),
      refusal(/BF16/),
    );
    assert.throws(() => writeNpy({ ...array, shape: [4] }, "array 'a'"), refusal(/has 3 bytes, expected 4/));
  });

  it("lets nothing but InferenceError out of damaged archives", () => {
    const arrays = new Map<string, NpyArray>([
      ["a", { datatype: "FP32", shape: [4, 5], data: new Uint8Array(80).map((_, i) => i * 37) }],
      ["labels", { datatype: "INT32", shape: [4], data: new Uint8Array(16) }],
    ]);
    const files = [...arrays].map(([name, array]) => [`${name}.npy`, writeNpy(array, name)]);
    const archives = [writeNpz(arrays), zipSync(Object.fromEntries(files), { level: 0 })];
    let refusals = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...archives),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 6 }),
        fc.option(fc.nat()),
        (archive, flips, cut) => {
          const bytes = archive.slice(0, cut === null ? archive.length : cut % archive.length);
          for (const [at, mask] of flips) {
            if (bytes.length > 0) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ mask;
          }
          try {
            readNpz(bytes, "x.npz", 1 << 20);
          } catch (error) {
            assert.ok(error instanceof InferenceError, String(error));
            refusals += 1;
          }
        },
      ),
      { numRuns: 3000 },
    );
    assert.ok(refusals > 1000);
  });

  it("lets nothing but InferenceError out of damaged arrays", () => {
    const npy = writeNpy({ datatype: "FP32", shape: [2, 2], data: new Uint8Array(16) }, "a");
    const strings = withHeader(npy, "<f4", "<U1");
    fc.assert(
      fc.property(
        fc.constantFrom(npy, strings, withHeader(npy, "False", "True ")),
        fc.array(fc.tuple(fc.nat(npy.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (original, changes) => {
          const bytes = original.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            readNpz(zipSync({ "a.npy": bytes }, { level: 0 }), "x.npz");
          } catch (error) {
            assert.ok(error instanceof InferenceError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("npz against NumPy", { skip: skipWithout(PYTHON.missing) }, () => {
  it("reads every dtype, byte order and memory order as NumPy means them", async (t) => {
    const folder = await temporaryFiles(t, {});
    await python(
      `
import numpy as np, sys
base = np.arange(24).reshape(2, 3, 4) * 7 - 20
arrays = {}
for d in ${JSON.stringify(DTYPES)}:
    arrays[d + "_c"] = base.astype("<" + d)
    arrays[d + "_be"] = base.astype(">" + d)
    arrays[d + "_f"] = np.asfortranarray(base.astype("<" + d))
arrays["scalar"] = np.float64(2.5)
arrays["empty"] = np.zeros((0, 3), "f4")
arrays["names"] = np.array(["a", "", "Ünï \\U0001F600"])
arrays["big_names"] = arrays["names"].astype(">U5")
arrays["raw_names"] = np.array([b"ab", b"c"])
np.savez("stored.npz", **arrays)
np.savez_compressed("packed.npz", **arrays)
for k, v in arrays.items():
    if k.endswith("_c"): open(k + ".bin", "wb").write(v.tobytes())
`,
      folder,
    );
    for (const file of ["stored.npz", "packed.npz"]) {
      const arrays = readNpz(await readFile(join(folder, file)), file);
      for (const dtype of DTYPES) {
        const bytes = new Uint8Array(await readFile(join(folder, `${dtype}_c.bin`)));
        for (const kind of ["c", "be", "f"]) {
          const array = arrays.get(`${dtype}_${kind}`);
          assert.deepEqual(array?.shape, [2, 3, 4]);
          assert.deepEqual(plain(array)?.data, [...bytes], `${file} ${dtype}_${kind}`);
        }
      }
      assert.deepEqual(arrays.get("scalar")?.shape, []);
      assert.deepEqual(arrays.get("empty")?.shape, [0, 3]);
      for (const name of ["names", "big_names"]) {
        assert.deepEqual(decodeStrings(arrays.get(name)?.data ?? new Uint8Array()), ["a", "", "Ünï 😀"]);
      }
      assert.deepEqual(decodeStrings(arrays.get("raw_names")?.data ?? new Uint8Array()), ["ab", "c"]);
    }
  });

  it("writes archives that NumPy reads", async (t) => {
    const folder = await temporaryFiles(t, {});
    const doubles = Float64Array.of(1.5, -2, Number.NaN, 4, 5, 6);
    const bytes = writeNpz(
      new Map<string, NpyArray>([
        ["output:x", { datatype: "FP64", shape: [2, 3], data: new Uint8Array(doubles.buffer) }],
        ["n", { datatype: "INT16", shape: [2], data: Uint8Array.of(1, 0, 255, 255) }],
        ["flag", { datatype: "BOOL", shape: [], data: Uint8Array.of(1) }],
      ]),
    );
    await writeFile(join(folder, "ours.npz"), bytes);
    const printed = await python(
      `
import numpy as np
z = np.load("ours.npz")
print([(k, z[k].dtype.str, z[k].shape, z[k].tolist()) for k in z.files])
`,
      folder,
    );
    assert.equal(
      printed.trim(),
      "[('output:x', '<f8', (2, 3), [[1.5, -2.0, nan], [4.0, 5.0, 6.0]]), ('n', '<i2', (2,), [1, -1]), " +
        "('flag', '|b1', (), True)]",
    );
  });
});

/** As deepEqual compares it: views of other buffers are equal too. */
function plain(array: NpyArray | undefined) {
  return array && { datatype: array.datatype, shape: [...array.shape], data: [...array.data] };
}

function refusal(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof InferenceError, String(error));
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.match(error.message, message);
    return true;
  };
}

/** The array with a piece of its header replaced by one of the same length. */
function withHeader(npy: Uint8Array, old: string, replacement: string): Uint8Array {
  assert.equal(old.length, replacement.length);
  return Buffer.from(Buffer.from(npy).toString("latin1").replace(old, replacement), "latin1");
}

async function pythonWithNumpy(): Promise<{ path: string; missing: string | undefined }> {
  for (const path of [fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url)), "python3"]) {
    try {
      if ((await runCommand(path, ["-c", "import numpy"])).code === 0) return { path, missing: undefined };
    } catch {
      // not installed: the next one
    }
  }
  return { path: "", missing: "no python3 with numpy (test/interop/setup.sh makes one)" };
}

async function python(script: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await runCommand(PYTHON.path, ["-c", script], { cwd });
  assert.equal(code, 0, stderr);
  return stdout;
}
