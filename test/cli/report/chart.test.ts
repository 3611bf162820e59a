import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ChartOptions, type ChartPoint, chart, type Series } from "../../../cli/report/chart.ts";
import { flowChart } from "../../../cli/report/flow-chart.ts";
import { rangeBar } from "../../../cli/report/range-bar.ts";
import { checkNesting } from "./sample-data.ts";

const point = (x: number, y: number, more: Partial<ChartPoint> = {}): ChartPoint => ({ x, y, title: "", ...more });

function drawn(series: readonly Series[], more: Partial<ChartOptions> = {}): string {
  const axis = { label: "x", scale: "linear", domain: null, format: String } as const;
  const options = { description: "d", width: 500, height: 300, x: axis, y: axis, series, ...more };
  const { markup } = chart(options);
  checkNesting(markup);
  assert.doesNotMatch(markup, /NaN|Infinity|undefined/);
  return markup;
}

const SERIES: Series = { name: "s", kind: "line", color: 0, points: [point(0, 0), point(1, 1)] };

describe("chart", () => {
  it("draws no point that is not finite, nor one below 0 on a logarithmic axis", () => {
    const points = [point(1, 1), point(Number.NaN, 1), point(1, Number.POSITIVE_INFINITY), point(-1, 1), point(10, 2)];
    const log = { label: "x", scale: "log", domain: null, format: String } as const;
    const svg = drawn([{ ...SERIES, kind: "scatter", points }], { x: log });
    // Two points and one in the legend.
    assert.equal(svg.match(/<circle/g)?.length, 3);
  });

  it("draws every kind without points, with one and with equal ones", () => {
    for (const kind of ["line", "step", "scatter", "bar", "band"] as const) {
      for (const points of [[], [point(1, 1)], [point(2, 0, { low: 0, high: 0, xEnd: 2 }), point(2, 0)]]) {
        drawn([{ ...SERIES, kind, points }]);
      }
    }
  });

  it("keeps a step level until the next point", () => {
    const points = [point(0, 0), point(1, 1)];
    const axis = { label: "", scale: "linear", domain: [0, 1], format: String } as const;
    const svg = drawn([{ ...SERIES, kind: "step", name: "", points }], { x: axis, y: axis });
    assert.match(svg, /d="M62 254 L482 254 L482 14"/);
  });

  it("keeps what is outside a given domain at its border", () => {
    const axis = { label: "", scale: "linear", domain: [0, 1], format: String } as const;
    const svg = drawn([{ ...SERIES, name: "", points: [point(-5, 0.5), point(5, 0.5)] }], { x: axis, y: axis });
    assert.match(svg, /d="M62 134 L482 134"/);
  });

  it("writes no label over another", () => {
    const points = Array.from({ length: 20 }, (_, i) => point(i / 1e6, 0.5, { label: `point ${i}` }));
    const axis = { label: "", scale: "linear", domain: [0, 1], format: String } as const;
    const svg = drawn([{ ...SERIES, kind: "scatter", points }], { x: axis, y: axis });
    const places = [...svg.matchAll(/class="label" x="([\d.]+)" y="([\d.]+)"/g)].map(([, x, y]) => `${x} ${y}`);
    assert.ok(places.length > 0 && places.length < 20);
    assert.equal(new Set(places).size, places.length);
  });
});

describe("flowChart", () => {
  const options = {
    description: "d",
    levels: ["a", "b", "c"],
    reach: [1, 0.3, 0.2],
    paths: [
      [0.6, 0.3, 0.1],
      [0, 2 / 3, 1 / 3],
      [0, 0, 1],
    ],
    formatShare: (share: number) => `${Math.round(share * 100)} %`,
  };

  it("shows what each level sees and answers", () => {
    const { markup } = flowChart(options);
    checkNesting(markup);
    for (const text of ["sees 100 %", "sees 30 %", "sees 20 %", "a: 60 %", "b: 20 %", "c: 20 %"]) {
      assert.ok(markup.includes(`>${text}<`), text);
    }
    assert.match(markup, /10 % of all rows: a to c/);
    assert.match(markup, /10 % of all rows: b to c/);
  });

  it("keeps rows in the picture: answered heights add up to the first column's", () => {
    const heights = [...flowChart(options).markup.matchAll(/class="bar c\d"[^>]*? height="([\d.]+)"/g)].map(([, h]) =>
      Number(h),
    );
    assert.equal(
      heights.reduce((sum, height) => sum + height, 0),
      190,
    );
  });

  it("draws what was measured on no rows", () => {
    const nothing = flowChart({ ...options, reach: [Number.NaN, 0, 0], paths: [[Number.NaN]] }).markup;
    checkNesting(nothing);
    assert.doesNotMatch(nothing, /="NaN/);
  });
});

describe("rangeBar", () => {
  it("draws within its line, and nothing where there is no number", () => {
    assert.match(rangeBar(0.5, [0, 1], 1).markup, /x1="3" x2="147".*cx="75"/);
    assert.doesNotMatch(rangeBar(Number.NaN, [0, 1], 1).markup, /circle|NaN/);
    assert.doesNotMatch(rangeBar(0, [0, 0], 0).markup, /circle|NaN/);
  });
});
