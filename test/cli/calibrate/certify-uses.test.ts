import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { certifyLook, recordCertifyUse, shareRows } from "../../../cli/calibrate/certify-uses.ts";
import { textHash } from "../../../proto/files/policy-hash.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const FILE = ".certify-uses.jsonl";
const AT = new Date("2026-11-25T12:00:00Z");

/** Hashes of the rows numbered from `first` on. */
function hashes(first: number, rows: number): string[] {
  return Array.from({ length: rows }, (_, i) => textHash(String(first + i)).slice("sha256:".length));
}

function look(first: number, rows: number) {
  return certifyLook(`sha256:${first}+${rows}`, hashes(first, rows), AT);
}

describe("certifyLook", () => {
  it("sketches rows by their 256 smallest hashes, each once, whatever their order", () => {
    const rows = hashes(0, 5000);
    const all = certifyLook("c", rows, AT);
    assert.equal(all.rows, 5000);
    assert.equal(all.sketch.length, 256);
    assert.deepEqual(
      all.sketch,
      [...rows]
        .sort()
        .slice(0, 256)
        .map((hash) => hash.slice(0, 16)),
    );
    assert.deepEqual(certifyLook("c", [...rows].reverse(), AT), all);
    assert.equal(certifyLook("c", ["aa", "aa"], AT).sketch.length, 1);
  });
});

describe("shareRows", () => {
  it("finds a tenth of the rows in common, and nothing where there is nothing", () => {
    assert.equal(shareRows(look(0, 10_000), look(9000, 10_000)), true);
    assert.equal(shareRows(look(0, 10_000), look(10_000, 10_000)), false);
  });
});

describe("recordCertifyUse", () => {
  it("counts looks that share rows, also where rows were added or left out", async (t) => {
    const root = await temporaryFiles(t, {});
    assert.equal(await recordCertifyUse(root, look(0, 2000)), 1);
    assert.equal(await recordCertifyUse(root, look(0, 2001)), 2, "one more row");
    assert.equal(await recordCertifyUse(root, look(5000, 2000)), 1, "other rows");
    assert.equal(await recordCertifyUse(root, look(1000, 1000)), 3, "half of the rows");
    assert.deepEqual(await readdir(root), [FILE]);
    const lines = (await readFile(join(root, FILE), "utf8")).trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).rows),
      [2000, 2001, 2000, 1000],
    );
    assert.deepEqual(JSON.parse(lines[1] ?? ""), { formatVersion: 1, ...look(0, 2001) });
  });

  it("loses no look of calibrations at once", async (t) => {
    const root = await temporaryFiles(t, {});
    const counts = await Promise.all(Array.from({ length: 8 }, () => recordCertifyUse(root, look(0, 500))));
    assert.equal(Math.max(...counts), 8);
    assert.equal(await recordCertifyUse(root, look(0, 500)), 9);
  });

  it("adds nothing to a file that is damaged, and says which line", async (t) => {
    const good = JSON.stringify({ formatVersion: 1, ...look(0, 3) });
    const damaged: readonly [string, RegExp][] = [
      [`${good}\n{\n`, /certify-uses\.jsonl, line 2: not valid JSON/],
      [`${good.replace(":1,", ":2,")}\n`, /line 1: formatVersion/],
      [`${good.replace('"rows":3', '"rows":-1')}\n`, /line 1: rows/],
      [`${good}\n${good.slice(0, 20)}`, /the last line has no end.*remove that line/],
    ];
    for (const [text, message] of damaged) {
      const root = await temporaryFiles(t, { [FILE]: text });
      await assert.rejects(recordCertifyUse(root, look(0, 3)), message);
      assert.equal(await readFile(join(root, FILE), "utf8"), text);
    }
  });
});
