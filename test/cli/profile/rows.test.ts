import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { npzSource, randomSource } from "../../../cli/profile/rows.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import type { ModelSignature } from "../../../scheduler/signature.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const SIGNATURE: ModelSignature = {
  name: "m",
  version: "1",
  maxBatchSize: 8,
  inputs: [
    { name: "image", datatype: "FP32", dims: [2] },
    { name: "mask", datatype: "INT64", dims: [1], optional: true },
  ],
  outputs: [],
};
const PIXELS = { datatype: "UINT8", shape: [3, 2], data: Uint8Array.of(0, 1, 2, 3, 4, 255) } as const;

describe("rows of a profile", () => {
  it("are the same random ones every time", () => {
    const [first] = randomSource(new Map()).rowsOf(SIGNATURE);
    const [second] = randomSource(new Map()).rowsOf(SIGNATURE);
    assert.deepEqual(first?.shape, [64, 2]);
    assert.deepEqual(first, second);
  });

  it("are fewer where they are large, and known by their sizes", () => {
    const inputs = [{ name: "image", datatype: "FP32", dims: [-1] }] as const;
    const source = randomSource(new Map([["image", [8 * 2 ** 20]]]));
    const [tensor] = source.rowsOf({ ...SIGNATURE, inputs });
    assert.equal(tensor?.shape[0], 2);
    assert.notEqual(source.key, randomSource(new Map()).key);
  });

  it("are an archive's arrays, in the datatypes of the inputs", async (context) => {
    const folder = await temporaryFiles(context, { "data.npz": writeNpz(new Map([["image", PIXELS]])) });
    const source = await npzSource(join(folder, "data.npz"));
    assert.match(source.key, /^sha256:[0-9a-f]{64}$/);
    const tensors = source.rowsOf(SIGNATURE);
    assert.deepEqual(
      tensors.map(({ name, datatype, shape }) => [name, datatype, shape]),
      [["image", "FP32", [3, 2]]],
    );
    const data = tensors[0]?.data.slice();
    assert.deepEqual([...new Float32Array(data?.buffer ?? new ArrayBuffer(0))], [0, 1, 2, 3, 4, 255]);
  });

  it("are refused where the archive lacks an input or has other shapes", async (context) => {
    const folder = await temporaryFiles(context, {
      "other.npz": writeNpz(new Map([["pixels", PIXELS]])),
      "flat.npz": writeNpz(new Map([["image", { ...PIXELS, shape: [6] }]])),
    });
    const rowsOf = async (file: string) => (await npzSource(join(folder, file))).rowsOf(SIGNATURE);
    await assert.rejects(
      rowsOf("other.npz"),
      /other\.npz: has no array 'image', which model 'm' takes; the file has 'pixels'/,
    );
    await assert.rejects(
      rowsOf("flat.npz"),
      /model 'm', input 'image': the data are FP32 \[6\], the model takes FP32 \[-1,2\]/,
    );
    await assert.rejects(rowsOf("none.npz"), /--data: .*ENOENT/);
  });
});
