import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ganttChart, latencyChart, shareBar } from "../../../cli/report/plan-charts.ts";
import type { PlanReportData } from "../../../cli/report/plan-data.ts";
import { planReport } from "../../../cli/report/plan-report.ts";
import { samplePlan } from "../../support/plans.ts";

function data(overrides: Partial<PlanReportData> = {}): PlanReportData {
  return {
    plan: samplePlan(),
    hybridserveVersion: "0.0.0",
    warnings: [],
    deviceLoads: [
      { utilisation: 0.25, usedBytes: 100_000_000, watts: null },
      { utilisation: 0.5, usedBytes: 50_000_000, watts: null },
    ],
    latency: {
      bars: [
        { fromMs: 0, toMs: 50, count: 90 },
        { fromMs: 50, toMs: 100, count: 9 },
        { fromMs: 100, toMs: 900, count: 1 },
      ],
      p50: 20,
      p95: 60,
      p99: 110,
    },
    runs: [
      { placement: 0, startMs: 1000, endMs: 1001, rows: 3 },
      { placement: 3, startMs: 1001, endMs: 1011, rows: 2 },
    ],
    lastLevelOnly: null,
    ...overrides,
  };
}

/** Every number of an attribute of the elements with this class. */
function attributes(svg: string, element: string, name: string): number[] {
  return [...svg.matchAll(new RegExp(`<rect class="${element}[^>]* ${name}="([^"]+)"`, "g"))].map((match) =>
    Number(match[1]),
  );
}

describe("the report of a plan", () => {
  it("is one page without anything from elsewhere, every section linked", () => {
    const html = planReport(data());
    assert.doesNotMatch(html, /(?:src|href)="(?!#|data:)/);
    for (const id of ["models", "placements", "devices", "gantt", "latency", "binding", "gears", "provenance"]) {
      assert.ok(html.includes(`href="#${id}"`), id);
      assert.ok(html.includes(`<section id="${id}"`), id);
    }
  });

  it("says what it does not know instead of zero", () => {
    const html = planReport(data());
    assert.match(html, /energy: no watts are known/);
    assert.match(planReport(data({ plan: samplePlan({ gears: [] }) })), /^(?!.*id="gears")/s);
    assert.match(planReport(data({ runs: [] })), /^(?!.*id="gantt")/s);
  });

  it("tells a time-limited search and a rule without a bound", () => {
    const plan = samplePlan();
    const provenance = { ...plan.provenance, optimalityGap: null, isTimeLimited: true };
    const html = planReport(data({ plan: { ...plan, provenance } }));
    assert.match(html, /not known: found by rule; a time limit ended the search/);
  });

  it("puts the figures of the last level alone beside the plan's", () => {
    const lastLevelOnly = { throughput: 31, devices: 2, watts: null, joulesPerRequest: 4.5 };
    assert.match(planReport(data({ lastLevelOnly })), /<strong>giant<\/strong> alone take 31 requests.*4\.5 J/s);
  });

  it("escapes names", () => {
    const plan = samplePlan();
    const devices = plan.devices.map((device) => ({ ...device, id: "<b>" }));
    assert.doesNotMatch(planReport(data({ plan: { ...plan, devices } })), /<b>/);
  });

  it("keeps a large fleet readable", () => {
    const plan = samplePlan();
    const devices = Array.from({ length: 500 }, (_, i) => ({
      id: `d${i}`,
      class: "core",
      node: "local",
      failureGroup: "local",
      cpus: "",
      ordinal: -1,
    }));
    const placements = devices.map(({ id }, replica) => ({
      stage: "small-0",
      replica,
      device: id,
      share: 1 / 500,
      intraOpThreads: 1,
    }));
    const html = planReport(data({ plan: { ...plan, devices, placements } }));
    assert.match(html, /and 436 more: plan\.json has them all/);
    assert.match(html, /and 436 more devices/);
  });
});

describe("pictures of a plan", () => {
  it("draws batches one after the other on their own rows", () => {
    const { markup: svg } = ganttChart(data());
    const x = attributes(svg, "bar", "x");
    const width = attributes(svg, "bar", "width");
    const y = attributes(svg, "bar", "y");
    assert.equal(x.length, 2);
    assert.ok(Math.abs((x[0] ?? 0) + (width[0] ?? 0) - (x[1] ?? 0)) < 0.05, "the second begins where the first ends");
    assert.ok(Math.abs((width[1] ?? 0) / (width[0] ?? 1) - 10) < 0.01);
    assert.notEqual(y[0], y[1]);
  });

  it("draws the bar of all that took longer as wide as the others, beyond the objective in another colour", () => {
    const { markup: svg } = latencyChart(data().latency, 100);
    const widths = attributes(svg, "bar", "width");
    assert.equal(widths.length, 3);
    assert.ok(Math.abs((widths[2] ?? 0) - (widths[1] ?? 1)) < 0.01);
    assert.equal([...svg.matchAll(/class="bar c1"/g)].length, 1);
    const heights = attributes(svg, "bar", "height");
    assert.ok(Math.abs((heights[1] ?? 0) / (heights[0] ?? 1) - 0.1) < 0.01);
  });

  it("fills a share bar no further than its end", () => {
    assert.deepEqual(attributes(shareBar(2, "c0").markup, "bar", "width"), [110]);
    assert.match(shareBar(Number.NaN, "c0").markup, /–/);
  });
});
