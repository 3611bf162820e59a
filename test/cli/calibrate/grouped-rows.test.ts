/** `--group-by` through the whole command, on recorded outputs. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readNpz, writeNpz } from "../../../proto/files/npz.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import { calibrate, FASHION_COSTS, FASHION_RECORDED, fashionCopy } from "./calibrate-runs.ts";

/** The recorded rows with the array `user`: the number that `userOf` gives each. */
async function withUsers(root: string, userOf: (row: number) => number): Promise<{ data: string; users: number[] }> {
  const recorded = readNpz(await readFile(FASHION_RECORDED), FASHION_RECORDED);
  const rows = recorded.get("labels")?.shape[0] ?? 0;
  const users = Array.from({ length: rows }, (_, row) => userOf(row));
  const bytes = new Uint8Array(Int32Array.from(users).buffer);
  const data = join(root, "users.npz");
  await writeFile(data, writeNpz(new Map([...recorded, ["user", { datatype: "INT32", shape: [rows], data: bytes }]])));
  return { data, users };
}

describe("calibrate --group-by", () => {
  it("tests groups, bounds the mean over rows and says so everywhere", async (t) => {
    const { root, models, cascade } = await fashionCopy(t);
    // A third of the rows are of users with nine rows, the others are alone.
    const { data, users } = await withUsers(root, (row) => (row % 3 === 0 ? -1 - Math.floor(row / 27) : row));
    const argv = ["--model-repository", models, "--model", "fashion", "--data", data, "--costs", FASHION_COSTS];
    const run = await calibrate(...argv, "--group-by", "user", "--max-drop", "0.02");
    assert.equal(run.code, 0, run.stderr);
    const file = parseCascadeFile(await readFile(join(cascade, "2", "cascade.json"), "utf8"), "cascade.json");
    const certificate = file.operatingPoints.find(({ name }) => name === "AP")?.certificate;
    assert.equal(certificate?.method, "wsr-groups-fixed-sequence");
    const groups = certificate?.samples ?? 0;
    const all = new Set(users).size;
    assert.ok(groups > 0.45 * all && groups < 0.55 * all, `${groups} of ${all} groups certify`);
    assert.ok((certificate?.bound ?? 1) <= 0.02);
    assert.match(
      run.stderr,
      new RegExp(`${groups} groups of \\d+ rows, each weighing by its rows up to 9, can certify`),
    );
    const report = await readFile(join(cascade, "2", "report.html"), "utf8");
    assert.match(report, /a group weighs by its rows, by 9 at most, so that the mean over rows is bounded/);

    // The rows on their own: a look at some of the same rows, though the split is another.
    const rows = await calibrate(...argv, "--max-drop", "0.02", "--json");
    assert.equal(rows.code, 0, rows.stderr);
    const { cascade: ungrouped } = JSON.parse(rows.stdout);
    assert.equal(ungrouped.operatingPoints[0].certificate.method, "wsr-fixed-sequence");
    assert.equal(ungrouped.operatingPoints[0].certificate.certifyUses, 2);
  });

  it("counts groups where there are too few, and says what to do", async (t) => {
    const { root, models } = await fashionCopy(t);
    const { data } = await withUsers(root, (row) => row % 100);
    const argv = ["--model-repository", models, "--model", "fashion", "--data", data, "--costs", FASHION_COSTS];
    const few = await calibrate(...argv, "--group-by", "user");
    assert.equal(few.code, 1);
    assert.match(
      few.stderr,
      /only \d+ of 100 groups \(\d+ rows\) fall into the fit split; calibration needs at least 50 groups in each.*give more groups/,
    );
    const none = await calibrate(...argv, "--group-by", "usr");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /array 'usr', which --group-by names, is missing/);
  });
});
