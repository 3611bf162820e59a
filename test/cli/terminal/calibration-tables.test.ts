import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calibrationTables } from "../../../cli/terminal/calibration-tables.ts";
import { terminalStyles } from "../../../cli/terminal/styles.ts";
import { cellWidth } from "../../../cli/terminal/table.ts";
import { SAMPLE, withNumbers, withTexts } from "../report/sample-data.ts";

const PLAIN = terminalStyles({ isTty: false, environment: {} });

describe("calibrationTables", () => {
  it("shows levels and points", () => {
    const text = calibrationTables(SAMPLE, PLAIN);
    assert.match(text, /0 {2}small +88\.67 % +87\.67 to 89\.67 % +18 +1\.3 % +temperature/);
    assert.match(text, /AP \* +93\.38 % +\+0\.20 +0\.83 % +17\.3 % +100 \/ 30 \/ 20 +gap <= 0\.48 points/);
    assert.match(text, /EO .* uncertified\n/);
    assert.match(text, /\nuncertified EO: not among the steps that passed\n$/);
  });

  it("fits 100 columns without control characters, whatever names and numbers are", () => {
    const samples = ["x".repeat(500), "\u001b[31mred\n", "模型 ".repeat(50)].map(withTexts);
    for (const data of [...samples, ...[Number.NaN, 1e300, -1, 1e-300].map(withNumbers)]) {
      for (const line of calibrationTables(data, PLAIN).trimEnd().split("\n")) {
        assert.ok(cellWidth(line) <= 100, line);
        assert.doesNotMatch(line, /\p{Cc}/u);
      }
    }
  });

  it("colours points by their certificate on a terminal", () => {
    const text = calibrationTables(SAMPLE, terminalStyles({ isTty: true, environment: {} }));
    assert.ok(text.includes("\u001b[32mAP *"));
    assert.ok(text.includes("gap <= 0.48 points\u001b[39m\n\u001b[31mEO"));
  });
});
