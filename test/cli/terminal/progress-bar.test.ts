import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProgressBar } from "../../../cli/terminal/progress-bar.ts";

function bar(isTty: boolean, columns = 80, total = 1_000) {
  const written: string[] = [];
  const time = { nowMs: 0 };
  const progress = new ProgressBar({
    label: "rows of m",
    total,
    isTty,
    columns,
    write: (text) => written.push(text),
    nowMs: () => time.nowMs,
  });
  return { written, time, progress };
}

describe("ProgressBar", () => {
  it("redraws its line on a terminal, at most every 100 ms", () => {
    const { written, time, progress } = bar(true);
    for (; time.nowMs < 1_000; time.nowMs++) progress.update(time.nowMs);
    assert.equal(written.length, 10);
    assert.ok(written.every((text) => text.startsWith("\r") && !text.includes("\n")));
    assert.match(written.at(-1) ?? "", /\[######################\.\.\] 900\/1000 \(90 %\)/);
    time.nowMs = 4_000;
    progress.update(1_000);
    progress.finish();
    progress.finish();
    assert.match(written.at(-2) ?? "", /1000\/1000 \(100 %\), took 4 s/);
    assert.equal(written.at(-1), "\n");
  });

  it("covers what it drew before, and never fills the line", () => {
    const { written, time, progress } = bar(true, 50);
    progress.update(10);
    time.nowMs = 60_000;
    progress.update(20);
    time.nowMs = 60_200;
    progress.update(999);
    const lengths = written.map((text) => text.length - 1);
    assert.ok(lengths.every((length) => length <= 49));
    assert.ok(lengths.every((length, i) => length >= (written[i - 1] ?? "").trimEnd().length - 1));
  });

  it("writes few plain lines elsewhere: none for a short run but the last", () => {
    const { written, time, progress } = bar(false);
    for (; time.nowMs < 25_000; time.nowMs += 10) progress.update(Math.floor(time.nowMs / 50));
    progress.finish();
    assert.deepEqual(written, [
      "rows of m: 200/1000 (20 %), 40 s left\n",
      "rows of m: 400/1000 (40 %), 30 s left\n",
      "rows of m: 499/1000 (49 %), 25 s left\n",
    ]);
  });

  it("neither goes back nor beyond its total, and can have nothing to do", () => {
    const { written, progress } = bar(false, 80, 10);
    progress.update(8);
    progress.update(3);
    progress.update(99);
    progress.finish();
    assert.deepEqual(written, ["rows of m: 10/10 (100 %), took 0 s\n"]);
    const empty = bar(true, 80, 0);
    empty.progress.finish();
    assert.match(empty.written[0] ?? "", /0\/0 \(100 %\)/);
  });
});
