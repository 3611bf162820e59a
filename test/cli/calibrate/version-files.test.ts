import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { locateCascade } from "../../../cli/calibrate/locate-cascade.ts";
import { nextVersion, writeVersion } from "../../../cli/calibrate/write-version.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { example } from "./calibrate-runs.ts";

describe("writeVersion", () => {
  it("writes all files as one version above the highest, readable by others", async (t) => {
    const root = await temporaryFiles(t, { "2/x": "", "10/x": "", "010/x": "", "notes/x": "", "config.pbtxt": "" });
    assert.equal(await nextVersion(root), 11);
    const path = await writeVersion(
      root,
      new Map<string, string | Uint8Array>([
        ["a", "text"],
        ["b", Uint8Array.of(1)],
      ]),
    );
    assert.equal(path, join(root, "11"));
    assert.equal(await readFile(join(path, "a"), "utf8"), "text");
    assert.deepEqual([...(await readFile(join(path, "b")))], [1]);
    assert.equal((await stat(path)).mode & 0o777, 0o755);
    assert.deepEqual((await readdir(root)).sort(), ["010", "10", "11", "2", "config.pbtxt", "notes"]);
  });

  it("takes the next number where another calibration was faster, and mixes nothing", async (t) => {
    const root = await temporaryFiles(t, {});
    const paths = await Promise.all(
      Array.from({ length: 5 }, (_, i) => writeVersion(root, new Map([["cascade.json", `${i}`]]))),
    );
    assert.deepEqual(
      paths.sort(),
      ["1", "2", "3", "4", "5"].map((version) => join(root, version)),
    );
    const contents = await Promise.all(paths.map((path) => readFile(join(path, "cascade.json"), "utf8")));
    assert.deepEqual(contents.sort(), ["0", "1", "2", "3", "4"]);
  });

  it("leaves nothing behind when it fails", async (t) => {
    const root = await temporaryFiles(t, {});
    await assert.rejects(writeVersion(root, new Map([["no/folder", ""]])), /cannot write a new version into/);
    assert.deepEqual(await readdir(root), []);
  });
});

describe("locateCascade", () => {
  it("reads the newest version that has a policy, in the first repository that has the model", async (t) => {
    const text = await readFile(example("fashion-mnist/models/fashion/1/cascade.json"), "utf8");
    const newer = text.replaceAll("uncalibrated", "newer");
    const root = await temporaryFiles(t, { "a/other/": "", "b/c/9/cascade.json": text, "b/c/10/cascade.json": newer });
    await mkdir(join(root, "b", "c", "11"));
    const located = await locateCascade([join(root, "a"), join(root, "b")], "c");
    assert.equal(located.directory, join(root, "b", "c"));
    assert.equal(located.file?.default, "newer");
  });

  it("places a new cascade into the first repository", async (t) => {
    const root = await temporaryFiles(t, { "a/": "", "b/": "" });
    const { directory, file } = await locateCascade([join(root, "a"), join(root, "b")], "c");
    assert.deepEqual([directory, file], [join(root, "a", "c"), undefined]);
  });

  it("refuses a model that is no cascade and a policy that cannot be read", async (t) => {
    const root = await temporaryFiles(t, { "m/1/model.onnx": "", "c/1/": "" });
    await assert.rejects(locateCascade([root], "m"), /'m' .* has no version with a cascade\.json.*--levels/);
    await writeFile(join(root, "c", "1", "cascade.json"), "{");
    await assert.rejects(locateCascade([root], "c"), /cascade\.json/);
  });
});
