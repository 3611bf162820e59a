/** Percentiles and medians. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { median, percentile } from "../../bench/statistics.ts";

test("a percentile is the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(percentile(hundred, 0.5), 50);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 1), 100);
  assert.equal(percentile([7], 0.01), 7);
  assert.equal(percentile([1, 2, 3], 0.5), 2);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test("a median needs no order and averages the two middle values", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 100]), 3.5);
  assert.ok(Number.isNaN(median([])));
});
