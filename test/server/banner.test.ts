/** What people see at the start. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modelTable, planLine, portLine, printable, readyLine } from "../../server/banner.ts";
import { samplePlan } from "../support/plans.ts";

test("the table of models, failed ones with their reason", () => {
  const table = modelTable([
    { name: "fashion", version: "1", state: "READY", reason: "" },
    { name: "broken", version: "2", state: "UNAVAILABLE", reason: "Internal: no such file" },
    { name: "idle", version: "", state: "", reason: "" },
    { name: "twice", version: "", state: "UNAVAILABLE", reason: "found in two repositories" },
  ]);
  assert.equal(
    table,
    [
      "+---------+---------+----------------------------------------+",
      "| Model   | Version | Status                                 |",
      "+---------+---------+----------------------------------------+",
      "| fashion | 1       | READY                                  |",
      "| broken  | 2       | UNAVAILABLE: Internal: no such file    |",
      "| idle    | -       | not loaded                             |",
      "| twice   | -       | UNAVAILABLE: found in two repositories |",
      "+---------+---------+----------------------------------------+",
      "",
    ].join("\n"),
  );
});

test("a long reason goes on in the next rows and loses nothing but spaces", () => {
  const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(" ");
  const table = modelTable([{ name: "m", version: "1", state: "UNAVAILABLE", reason: `${words} ${"x".repeat(250)}` }]);
  const lines = table.split("\n");
  assert.ok(lines.length > 8);
  assert.ok(lines.every((line) => line.length <= 130));
  const text = table.replace(/[|\s]/g, "");
  assert.ok(text.includes(words.replaceAll(" ", "")) && text.includes("x".repeat(250)));
});

test("names cannot move the cursor or colour the terminal", () => {
  assert.equal(printable("a\u001b[31mb\r\nc\u202ed"), "a [31mb c d");
});

test("port and ready lines", () => {
  assert.equal(portLine("HTTPService", "0.0.0.0", 8000), "Started HTTPService at 0.0.0.0:8000\n");
  assert.equal(portLine("GRPCInferenceService", "::", 8001), "Started GRPCInferenceService at [::]:8001\n");
  assert.equal(readyLine(1, 1.234), "Ready in 1.2 s: 1 model version\n");
  assert.equal(readyLine(4, 0.05), "Ready in 0.1 s: 4 model versions\n");
});

test("what a plan places and expects, or that it is left out", () => {
  assert.equal(
    planLine("plan.json", samplePlan()),
    "Plan plan.json: 2 models, 3 stages, 4 copies on 2 devices; planned for 100 requests/s, takes up to 150\n",
  );
  assert.match(planLine("plan.json", undefined), /^Warning: plan plan\.json is left out.*the log says why\n$/);
});
