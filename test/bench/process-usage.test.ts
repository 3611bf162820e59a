/** Parsing of /proc. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMachineUsage, parseProcessStat } from "../../bench/process-usage.ts";

test("a stat line gives parent and ticks, whatever the command's name holds", () => {
  const line = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 3 4 20 0 9 0 12345 1000 200";
  assert.deepEqual(parseProcessStat(line), { parent: 7, ticks: 11 + 22 + 3 + 4 });
});

test("the machine's line tells work from idling and theft", () => {
  const usage = parseMachineUsage("cpu  100 20 30 9000 800 4 6 50 0 0");
  assert.deepEqual(usage, { busySeconds: 1.6, stealSeconds: 0.5 });
});
