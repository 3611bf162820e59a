/** Pictures of a plan: what ran when, and how long requests took. */
import { NO_NUMBER, percent, significant, tick } from "./format.ts";
import { type Markup, markup } from "./markup.ts";
import type { LatencyHistogram, PlanReportData, StageRun } from "./plan-data.ts";
import { linearTicks } from "./ticks.ts";

const WIDTH = 860;
const LEFT = 150;
const RIGHT = 12;
const ROW_PX = 18;
/** More rows than a reader looks at; the rest is counted under the picture. */
export const MOST_GANTT_ROWS = 40;

/** One row a copy, grouped by device; colours are levels. */
export function ganttChart({ plan, runs }: PlanReportData): Markup {
  const placements = plan.placements
    .map((placement, index) => ({ ...placement, index }))
    .sort((a, b) => compare(a.device, b.device) || compare(a.stage, b.stage) || a.replica - b.replica)
    .slice(0, MOST_GANTT_ROWS);
  const rowOf = new Map(placements.map(({ index }, row) => [index, row]));
  const shown = runs.filter((run) => rowOf.has(run.placement));
  const startMs = Math.min(...shown.map((run) => run.startMs));
  const endMs = Math.max(...shown.map((run) => run.endMs), startMs + 1e-6);
  const height = placements.length * ROW_PX;
  const x = (ms: number) => LEFT + ((ms - startMs) / (endMs - startMs)) * (WIDTH - LEFT - RIGHT);
  const ticks = linearTicks(0, endMs - startMs, 8).map(
    (ms) =>
      markup`<line class="grid" x1="${x(startMs + ms)}" x2="${x(startMs + ms)}" y1="0" y2="${height}"/><text class="tick" x="${x(startMs + ms)}" y="${height + 15}" text-anchor="middle">${`${tick(ms)} ms`}</text>`,
  );
  const names = placements.map(
    ({ stage, replica, device }, row) =>
      markup`<text class="name" x="${LEFT - 6}" y="${row * ROW_PX + 13}" text-anchor="end">${`${device}: ${stage}.${replica}`}</text>`,
  );
  const bars = shown.map((run) => ganttBar(plan, run, rowOf.get(run.placement) ?? 0, x));
  return markup`<svg class="chart" viewBox="0 0 ${WIDTH} ${height + 22}" style="max-width:${WIDTH}px" role="img" aria-label="Batches over time on every copy">${[ticks, names, bars]}</svg>`;
}

function ganttBar(plan: PlanReportData["plan"], run: StageRun, row: number, x: (ms: number) => number): Markup {
  const placement = plan.placements[run.placement];
  const model = plan.stages.find((stage) => stage.id === placement?.stage)?.model;
  const level = plan.models.find((each) => each.name === model)?.level ?? 0;
  const tip = `${placement?.stage ?? NO_NUMBER} on ${placement?.device ?? NO_NUMBER}: ${run.rows} rows, ${significant(run.endMs - run.startMs)} ms`;
  const width = Math.max(0.6, x(run.endMs) - x(run.startMs));
  return markup`<rect class="bar c${level % 6}" x="${x(run.startMs)}" y="${row * ROW_PX + 3}" width="${width}" height="${ROW_PX - 6}"><title>${tip}</title></rect>`;
}

const CHART_HEIGHT = 190;

/** Bars up to and beyond the objective, which is a line, as the percentiles are. */
export function latencyChart(latency: LatencyHistogram, sloMs: number): Markup {
  const { bars } = latency;
  const last = bars.at(-1);
  // The last bar holds all that is longer: drawn as wide as the others.
  const widthMs = bars[0] === undefined ? 1 : bars[0].toMs - bars[0].fromMs;
  const endMs = Math.max((last?.fromMs ?? 0) + widthMs, sloMs * 1.05);
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  const total = bars.reduce((sum, bar) => sum + bar.count, 0);
  const left = 12;
  const x = (ms: number) => left + (Math.min(ms, endMs) / endMs) * (WIDTH - left - RIGHT);
  const top = (count: number) => 40 + (1 - count / most) * (CHART_HEIGHT - 40);
  const drawn = bars.map((bar) => {
    const isLast = bar === last;
    const tip = `${isLast ? `over ${significant(bar.fromMs)}` : `${significant(bar.fromMs)} to ${significant(bar.toMs)}`} ms: ${percent(bar.count / Math.max(1, total), total)}`;
    const width = Math.max(0.5, x(bar.fromMs + widthMs) - x(bar.fromMs) - 0.5);
    return markup`<rect class="bar ${bar.fromMs >= sloMs ? "c1" : "c0"}" x="${x(bar.fromMs)}" y="${top(bar.count)}" width="${width}" height="${CHART_HEIGHT - top(bar.count)}"><title>${tip}</title></rect>`;
  });
  const ticks = linearTicks(0, endMs, 8).map(
    (ms) =>
      markup`<text class="tick" x="${x(ms)}" y="${CHART_HEIGHT + 15}" text-anchor="middle">${`${tick(ms)} ms`}</text>`,
  );
  const marks = [
    { name: "p50", ms: latency.p50 },
    { name: "p95", ms: latency.p95 },
    { name: "p99", ms: latency.p99 },
    { name: "objective", ms: sloMs },
  ].filter(({ ms }) => Number.isFinite(ms) && ms <= endMs);
  const lines = marks.map(
    ({ name, ms }, i) =>
      markup`<line class="line thin dashed ${name === "objective" ? "c1" : "muted"}" x1="${x(ms)}" x2="${x(ms)}" y1="${18 + (i % 2) * 14}" y2="${CHART_HEIGHT}"/><text class="tick" x="${x(ms)}" y="${13 + (i % 2) * 14}" text-anchor="middle">${name}</text>`,
  );
  return markup`<svg class="chart" viewBox="0 0 ${WIDTH} ${CHART_HEIGHT + 22}" style="max-width:${WIDTH}px" role="img" aria-label="How long requests took">${[drawn, markup`<line class="axis" x1="${left}" x2="${WIDTH - RIGHT}" y1="${CHART_HEIGHT}" y2="${CHART_HEIGHT}"/>`, lines, ticks]}</svg>`;
}

const BAR_WIDTH = 110;

/** A share of 1 as a bar inside a table; over 1 it is full. */
export function shareBar(share: number, colour: string): Markup {
  if (!Number.isFinite(share)) return markup`${NO_NUMBER}`;
  const width = Math.min(1, Math.max(0, share)) * BAR_WIDTH;
  return markup`<svg width="${BAR_WIDTH}" height="12" viewBox="0 0 ${BAR_WIDTH} 12" aria-hidden="true"><rect x="0.5" y="0.5" width="${BAR_WIDTH - 1}" height="11" fill="none" class="grid"/><rect class="bar ${colour}" x="0" y="0" width="${width}" height="12"/></svg>`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
