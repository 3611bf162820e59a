import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Gate, NEVER } from "../../../proto/files/cascade-file.ts";
import { entryLevel, route } from "../../../scheduler/cascade/policy.ts";

const PLAIN: Gate = { accept: 0.9, skip: [], hopeless: null };
const SKIPPING: Gate = { accept: 0.9, skip: [0.6, 0.3], hopeless: null };
const HOPELESS_LAST: Gate = { ...SKIPPING, hopeless: { below: 0.1, action: "last" } };
const HOPELESS_ACCEPT: Gate = { ...SKIPPING, hopeless: { below: 0.1, action: "accept" } };

// [gate, confidence, destination] from level 0 of a cascade of five levels.
const ROUTES: readonly (readonly [string, Gate, number, number])[] = [
  ["accepts at the threshold", PLAIN, 0.9, 0],
  ["accepts above it", PLAIN, 1, 0],
  ["passes on below it", PLAIN, 0.8999, 1],
  ["passes everything on without skips", PLAIN, 0, 1],
  ["the cut itself goes to the next level", SKIPPING, 0.6, 1],
  ["below the first cut one level is skipped", SKIPPING, 0.5999, 2],
  ["the second cut itself stays there", SKIPPING, 0.3, 2],
  ["below the second cut two levels are skipped", SKIPPING, 0.2999, 3],
  ["the hopeless cut itself is not hopeless", HOPELESS_LAST, 0.1, 3],
  ["hopeless rows go to the last level", HOPELESS_LAST, 0.0999, 4],
  ["or are accepted", HOPELESS_ACCEPT, 0.0999, 0],
  ["NaN is not accepted as hopeless", HOPELESS_ACCEPT, Number.NaN, 3],
  ["NaN goes the way of 0", HOPELESS_LAST, Number.NaN, 4],
  ["NaN is never accepted", { accept: 0, skip: [], hopeless: null }, Number.NaN, 1],
];

describe("route", () => {
  for (const [title, gate, q, expected] of ROUTES) {
    it(title, () => assert.equal(route(q, gate, 0, 4), expected));
  }

  it("stays within the levels that may be used", () => {
    assert.equal(route(0, SKIPPING, 0, 2), 2);
    assert.equal(route(0, HOPELESS_LAST, 1, 2), 2);
  });

  it("sends a less confident row never to a smaller level", () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 });
    const confidences = fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(cuts, confidences, (unsorted, [p, q]) => {
        const [accept = 1, first = 0, second = 0, below = 0] = unsorted.sort((a, b) => b - a);
        const gate: Gate = { accept, skip: [first, second], hopeless: { below, action: "last" } };
        assert.ok(route(Math.min(p, q), gate, 0, 4) >= route(Math.max(p, q), gate, 0, 4));
      }),
    );
  });
});

describe("entryLevel", () => {
  const never = (skips: number): Gate => ({
    accept: NEVER,
    skip: new Array<number>(skips).fill(NEVER),
    hopeless: null,
  });
  const open: Gate = { accept: 0.9, skip: [], hopeless: null };

  it("is the level that every row reaches whatever the levels before it answer", () => {
    assert.equal(entryLevel([open, open]), 0);
    assert.equal(entryLevel([never(0), open]), 1);
    assert.equal(entryLevel([never(1), open]), 2);
    assert.equal(entryLevel([never(0), never(0)]), 2);
    assert.equal(entryLevel([never(0)]), 1);
  });

  it("is level 0 where some rows may stop or go another way", () => {
    assert.equal(entryLevel([{ ...never(1), skip: [0.3] }, open]), 0);
    assert.equal(entryLevel([{ ...never(0), hopeless: { below: 0.1, action: "accept" } }, open]), 0);
  });

  it("agrees with route, row by row", () => {
    for (const q of [0, 0.5, 1, Number.NaN]) {
      assert.equal(route(q, never(1), 0, 2), 2);
      assert.equal(route(q, never(0), 0, 2), 1);
    }
  });
});
