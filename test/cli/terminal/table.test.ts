import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { terminalStyles } from "../../../cli/terminal/styles.ts";
import { cellWidth, type TextColumn, textTable, wrapped } from "../../../cli/terminal/table.ts";

const COLUMNS: readonly TextColumn[] = [
  { title: "model", align: "left", shrinks: true },
  { title: "right", align: "right", shrinks: false },
];

describe("textTable", () => {
  it("aligns columns under a heading", () => {
    assert.deepEqual(
      textTable(
        COLUMNS,
        [
          ["a", "5 %"],
          ["longer", "93.5 %"],
        ],
        40,
      ),
      ["model    right", "--------------", "a          5 %", "longer  93.5 %"],
    );
  });

  it("is never wider than asked, and cuts names rather than numbers", () => {
    for (const name of ["x".repeat(300), "模型".repeat(80), "😀".repeat(90), "e\u0301".repeat(120)]) {
      for (const width of [20, 40, 100]) {
        const lines = textTable(COLUMNS, [[name, "93.5 %"]], width);
        assert.ok(
          lines.every((line) => cellWidth(line) <= width),
          lines.join("\n"),
        );
        assert.match(lines[2] ?? "", /…\s+93\.5 %$/);
      }
    }
  });

  it("lets no cell move the cursor or turn the text", () => {
    const [, , line] = textTable(COLUMNS, [["a\u001b[2Jb\nc\u202ed", "1"]], 40);
    assert.equal(line, "a?[2Jb?c?d      1");
  });
});

describe("wrapped", () => {
  it("breaks between words and loses none", () => {
    const lines = wrapped("one two three four", 9);
    assert.deepEqual(lines, ["one two", "three", "four"]);
  });
});

describe("terminalStyles", () => {
  it("colours a terminal only, and not against NO_COLOR", () => {
    const good = (isTty: boolean, environment: Record<string, string>) =>
      terminalStyles({ isTty, environment }).good("x");
    assert.equal(good(true, {}), "\u001b[32mx\u001b[39m");
    assert.equal(good(true, { NO_COLOR: "" }), "\u001b[32mx\u001b[39m");
    for (const plain of [good(false, {}), good(true, { NO_COLOR: "1" }), good(true, { TERM: "dumb" })]) {
      assert.equal(plain, "x");
    }
  });
});
