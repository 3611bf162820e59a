import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calibrationReport } from "../../../cli/report/calibration-report.ts";
import { checkNesting, SAMPLE, withNumbers, withTexts } from "./sample-data.ts";

describe("calibrationReport", () => {
  it("has the sections in order, each linked", () => {
    const html = calibrationReport(SAMPLE);
    checkNesting(html);
    const ids = [...html.matchAll(/<section id="([a-z-]+)"/g)].map(([, id]) => id);
    assert.deepEqual(ids, ["levels", "points", "graph", "paths", "certificate", "harm", "reliability", "data"]);
    for (const id of ids) assert.ok(html.includes(`href="#${id}"`), id);
    assert.doesNotMatch(html, /NaN|undefined|\[object/);
  });

  it("says what is promised and what is not, bounds rounded up", () => {
    const html = calibrationReport(SAMPLE);
    assert.match(html, /gap ≤ 0\.48 points/);
    assert.match(html, /at most 0\.5 percentage points below that of large alone/);
    assert.match(html, /wrong in at most 5 % of calibrations/);
    assert.match(html, /uncertified<\/span><br><span class="quiet">not among the steps that passed/);
    assert.match(html, /2 of 3 tested steps passed/);
    assert.match(calibrationReport({ ...SAMPLE, metric: "harm" }), /at most 0\.5 % of the rows are answered wrong/);
  });

  it("says of grouped rows what is a sample and that the mean over rows is bounded", () => {
    assert.doesNotMatch(calibrationReport(SAMPLE), /groups/);
    const dataset = { ...SAMPLE.dataset, certifyGroups: { groups: 1234, mostRows: 9 } };
    const html = calibrationReport({ ...SAMPLE, dataset });
    assert.match(html, /the 1,234 groups of these rows; a group weighs by its rows, by 9 at most/);
    assert.match(html, /11,000 rows in 1,234 groups: used for nothing but/);
  });

  it("warns of certify rows that were used again", () => {
    assert.doesNotMatch(calibrationReport(SAMPLE), /class="box warning"/);
    const again = calibrationReport({ ...SAMPLE, dataset: { ...SAMPLE.dataset, certifyUses: 3 } });
    assert.match(again, /class="box warning">These certify rows were used 3 times/);
  });

  it("says in words where each row goes", () => {
    const html = calibrationReport(SAMPLE);
    assert.match(html, /from 0\.4000 to middle, else to large/);
    assert.match(html, /below 0\.1000 stands, too hard for all/);
  });

  it("needs nothing from elsewhere and runs no script", () => {
    const html = calibrationReport({ ...SAMPLE, harmExamples: withTexts("https://example.org/x.png").harmExamples });
    assert.doesNotMatch(html, /<script|<link|<iframe|src="(?!data:image\/png)|url\(|@import/);
    assert.match(html, /default-src 'none'/);
  });

  it("lets no name become markup", () => {
    for (const hostile of [
      "</style><script>alert(1)</script>",
      `" onload="x`,
      "<!--",
      "a\u0000\u001b[2Jb",
      "]]>&amp;",
    ]) {
      const html = calibrationReport(withTexts(hostile));
      checkNesting(html);
      assert.doesNotMatch(html, /<script|" onload="|<!--/);
      assert.ok(!html.includes("\u0000") && !html.includes("\u001b"));
    }
  });

  it("draws whatever the numbers are", () => {
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY, 0, -1, 1e-300, 1e300]) {
      const html = calibrationReport(withNumbers(number));
      checkNesting(html);
      assert.doesNotMatch(html, /NaN|Infinity|undefined/, `${number}`);
    }
  });

  it("compares a confidence with what was before only where something was fitted", () => {
    assert.match(calibrationReport(SAMPLE), /max_prob, before/);
    const levels = SAMPLE.levels.map(({ confidence, ...level }) => ({
      ...level,
      confidence: confidence === null ? null : { ...confidence, function: "max_prob" },
    }));
    assert.doesNotMatch(calibrationReport({ ...SAMPLE, levels }), /before</);
  });

  it("shows inputs that are no pictures as values", () => {
    const examples = SAMPLE.harmExamples.map((example) => ({ ...example, image: null, values: "1.5, 2" }));
    const html = calibrationReport({ ...SAMPLE, harmExamples: examples });
    assert.match(html, /<code>1\.5, 2<\/code>/);
    assert.doesNotMatch(html, /<img/);
  });

  it("leaves out what there is not", () => {
    const html = calibrationReport({
      ...SAMPLE,
      graph: [],
      points: [],
      steps: [],
      classHarm: [],
      harmExamples: [],
      feasibility: [],
      levels: SAMPLE.levels.slice(2),
    });
    checkNesting(html);
    const ids = [...html.matchAll(/<section id="([a-z-]+)"/g)].map(([, id]) => id);
    assert.deepEqual(ids, ["levels", "points", "certificate", "data"]);
  });
});
