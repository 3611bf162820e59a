import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { copiedRows, FITTED_SHARES, type Splits, splitRows, UNFITTED_SHARES } from "../../../planner/cascade/splits.ts";

const HEX_DIGITS = 64;

function hexHash(random: () => number): string {
  return Array.from({ length: HEX_DIGITS }, () => Math.floor(random() * 16).toString(16)).join("");
}

function hashes(rows: number, seed: number): string[] {
  const random = seededRandom(seed);
  return Array.from({ length: rows }, () => hexHash(random));
}

/** Split of each row by name. */
function splitOf(splits: Splits): Map<number, string> {
  return new Map(
    (["fit", "tune", "certify"] as const).flatMap((name) => [...splits[name]].map((row) => [row, name] as const)),
  );
}

describe("splitRows", () => {
  it("gives every row to one split, in the shares asked for", () => {
    const rows = 20_000;
    for (const shares of [FITTED_SHARES, UNFITTED_SHARES]) {
      const splits = splitRows(hashes(rows, 1), shares);
      assert.equal(splitOf(splits).size, rows);
      assert.equal(splits.fit.length + splits.tune.length + splits.certify.length, rows);
      for (const name of ["fit", "tune", "certify"] as const) {
        // Four standard errors of a share of one half.
        assert.ok(Math.abs(splits[name].length / rows - shares[name]) < 2 / Math.sqrt(rows), name);
      }
    }
    assert.equal(splitRows(hashes(rows, 1), UNFITTED_SHARES).fit.length, 0);
  });

  it("has shares that are a whole", () => {
    for (const { fit, tune, certify } of [FITTED_SHARES, UNFITTED_SHARES]) {
      assert.ok(Math.abs(fit + tune + certify - 1) < 1e-12);
    }
  });

  it("certifies on the same rows whether something is fitted or not", () => {
    const own = hashes(2_000, 4);
    assert.deepEqual(splitRows(own, UNFITTED_SHARES).certify, splitRows(own, FITTED_SHARES).certify);
  });

  it("keeps equal hashes together and asks nothing of where a row stands or what else there is", () => {
    const pool = hashes(30, 2);
    const rows = fc.array(fc.constantFrom(...pool), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(rows, (own) => {
        const alone = new Map(pool.map((hash) => [hash, splitOf(splitRows([hash], FITTED_SHARES)).get(0)]));
        const together = splitOf(splitRows(own, FITTED_SHARES));
        own.forEach((hash, row) => {
          assert.equal(together.get(row), alone.get(hash));
        });
      }),
      { numRuns: 200, seed: 31 },
    );
  });

  it("puts the same rows into the same order, however they came", () => {
    const own = hashes(500, 3);
    const shuffled = own.map((_, i) => own[(i * 137) % own.length] as string); // 137 and 500 share no factor
    const inOrder = (from: readonly string[], name: keyof Splits) =>
      [...splitRows(from, FITTED_SHARES)[name]].map((row) => from[row]);
    for (const name of ["fit", "tune", "certify"] as const) {
      assert.deepEqual(inOrder(shuffled, name), inOrder(own, name));
      assert.deepEqual(inOrder(own, name), inOrder(own, name).sort());
    }
  });

  it("leaves equal rows in the order of the data", () => {
    const [hash = ""] = hashes(1, 5);
    const splits = splitRows([hash, hash, hash], FITTED_SHARES);
    assert.deepEqual([...splits.fit, ...splits.tune, ...splits.certify], [0, 1, 2]);
  });

  it("decides by other digits than it orders by: the first rows of a split are no special ones", () => {
    const own = hashes(4000, 4);
    const leading = splitRows(own, FITTED_SHARES).certify;
    const mean = [...leading].reduce((sum, row) => sum + Number.parseInt(own[row]?.slice(0, 8) ?? "", 16), 0);
    assert.ok(Math.abs(mean / leading.length / 2 ** 32 - 0.5) < 0.03);
  });
});

describe("copiedRows", () => {
  it("counts every row but the first of its kind", () => {
    assert.equal(copiedRows(["a", "b", "a", "c", "a", "b"]), 3);
    assert.equal(copiedRows([]), 0);
  });
});
