/** The log: JSON lines that a user's text cannot forge, filtered by level. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { cap, openLog } from "../../server/log.ts";
import type { LogOptions } from "../../server/options/serve-options.ts";

const ALL: LogOptions = { info: true, warning: true, error: true, verbose: true, isoTime: false, file: "" };

function logFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hybridserve-log-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "server.log");
}

function linesOf(file: string): Record<string, unknown>[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a name with a line break and JSON in it stays one field of one line, cut to 256 code points", (t) => {
  const file = logFile(t);
  const log = openLog({ ...ALL, file });
  const name = `evil\n{"level":"error"}${"😀".repeat(400)}`;
  log.warn({ model: name, half: "\ud83d" }, "text\nwith a break");
  log.close();
  const lines = linesOf(file);
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.["level"], "warn");
  assert.equal([...String(lines[0]?.["model"])].length, 257);
  assert.ok(String(lines[0]?.["model"]).isWellFormed());
  assert.equal(lines[0]?.["half"], "\ufffd");
});

test("each level has its switch; the time is milliseconds or ISO 8601", (t) => {
  const file = logFile(t);
  const write = (options: Partial<LogOptions>) => {
    const log = openLog({ ...ALL, ...options, file });
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]({}, level);
    log.close();
  };
  write({});
  write({ verbose: false, info: false, isoTime: true });
  write({ verbose: false, warning: false, error: false });
  const lines = linesOf(file);
  const expected = ["debug", "info", "warn", "error", "warn", "error", "info"];
  assert.deepEqual(
    lines.map((line) => line["level"]),
    expected,
  );
  assert.equal(typeof lines[0]?.["time"], "number");
  assert.match(String(lines[4]?.["time"]), /^\d{4}-\d\d-\d\dT/);
});

test("a log file that cannot be written is one line that names the flag", (t) => {
  const file = join(logFile(t), "missing", "x.log");
  assert.throws(() => openLog({ ...ALL, file }), /^InferenceError: --log-file: cannot write .*x\.log.*ENOENT/);
});

test("texts are cut between code points", () => {
  assert.equal(cap("abc", 3), "abc");
  assert.equal(cap("a😀😀", 2), "a😀…");
  assert.equal(cap("a😀", 2), "a😀");
});
