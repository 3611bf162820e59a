/**
 * Where the rows of a cascade go, left to right: every level a column, its height the share of rows that enter it.
 * Answered rows leave in the colour of their level; rows that skip levels pass beneath them.
 */
import { type Markup, markup } from "./markup.ts";

export interface FlowOptions {
  readonly description: string;
  /** Smallest level first. */
  readonly levels: readonly string[];
  readonly reach: readonly number[];
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j. */
  readonly paths: readonly (readonly number[])[];
  readonly formatShare: (share: number) => string;
}

interface Flow {
  readonly from: number;
  /** Level, or the number of levels: answered. */
  readonly to: number;
  readonly share: number;
}

const WIDTH = 860;
const LEFT = 8;
const RIGHT = 190;
const TOP = 44;
const HEIGHT = 190;
const COLUMN_PX = 12;
const LINE_PX = 15;

export function flowChart(options: FlowOptions): Markup {
  const { levels, reach, paths, formatShare } = options;
  const count = levels.length;
  const share = (k: number, j: number) => {
    const value = (reach[k] ?? 0) * (k === count - 1 && j === k ? 1 : (paths[k]?.[j] ?? 0));
    return Number.isFinite(value) ? value : 0;
  };
  const columnX = (k: number) => LEFT + (k * (WIDTH - LEFT - RIGHT - COLUMN_PX)) / count;
  const endX = WIDTH - RIGHT;
  const answered = levels.map((_, k) => share(k, k));
  const answeredBefore = (k: number) => sum(answered.slice(0, k));
  const flows: Flow[] = levels.flatMap((_, from) =>
    levels.slice(from + 1).map((_, i) => ({ from, to: from + 1 + i, share: share(from, from + 1 + i) })),
  );
  const ribbons: Markup[] = [];
  // Lanes under a column's answered rows, from one column to the next: first those that enter the next level, then
  // those that pass it, nearest first.
  const lanes = flows.filter((flow) => flow.share > 0);
  for (let k = 0; k + 1 < count; k++) {
    const crossing = lanes.filter((flow) => flow.from <= k && flow.to > k);
    const before = offsets(crossing, answeredBefore(k + 1), (a, b) => onTop(a, k) - onTop(b, k) || byTarget(a, b));
    const after = offsets(crossing, answeredBefore(k + 1), byTarget);
    for (const flow of crossing) {
      const tip = `${formatShare(flow.share)} of all rows: ${levels[flow.from]} to ${levels[flow.to]}`;
      ribbons.push(
        ribbon(columnX(k) + COLUMN_PX, before.get(flow) ?? 0, columnX(k + 1), after.get(flow) ?? 0, flow, tip),
      );
      if (flow.to > k + 1) {
        const at = after.get(flow) ?? 0;
        ribbons.push(ribbon(columnX(k + 1), at, columnX(k + 1) + COLUMN_PX, at, flow, tip));
      }
    }
  }
  const ends = levels.map(
    (name, k) =>
      markup`<rect class="bar c${k % 6}" x="${columnX(k) + COLUMN_PX}" y="${y(answeredBefore(k))}" width="${endX - columnX(k) - COLUMN_PX}" height="${thickness(answered[k] ?? 0)}"><title>${`${name} answers ${formatShare(answered[k] ?? 0)} of all rows`}</title></rect>`,
  );
  const columns = levels.map((name, k) => [
    markup`<rect class="dot c${k % 6}" x="${columnX(k)}" y="${y(answeredBefore(k))}" width="${COLUMN_PX}" height="${thickness(reach[k] ?? 0)}"><title>${`${formatShare(reach[k] ?? 0)} of all rows enter ${name}`}</title></rect>`,
    markup`<text class="label" x="${columnX(k)}" y="16">${shorten(name, 22)}</text>`,
    markup`<text class="tick" x="${columnX(k)}" y="32">${`sees ${formatShare(reach[k] ?? 0)}`}</text>`,
  ]);
  return markup`<svg class="chart" viewBox="0 0 ${WIDTH} ${TOP + HEIGHT + 24}" style="max-width:${WIDTH}px" role="img" aria-label="${options.description}">${[
    ends,
    ribbons,
    columns,
    endLabels(levels, answered, answeredBefore, endX, formatShare),
  ]}</svg>`;
}

/** Rows that leave a column come before those that pass it: the column is above its passers-by. */
function onTop(flow: Flow, column: number): number {
  return flow.from === column ? 0 : 1;
}

/** Of one target, the nearest source first: the others passed beneath it. */
function byTarget(a: Flow, b: Flow): number {
  return a.to - b.to || b.from - a.from;
}

function offsets(flows: readonly Flow[], start: number, order: (a: Flow, b: Flow) => number): Map<Flow, number> {
  const placed = new Map<Flow, number>();
  let at = start;
  for (const flow of [...flows].sort(order)) {
    placed.set(flow, at);
    at += flow.share;
  }
  return placed;
}

function ribbon(x0: number, share0: number, x1: number, share1: number, flow: Flow, tip: string): Markup {
  const [top0, top1, height, middle] = [y(share0), y(share1), thickness(flow.share), (x0 + x1) / 2];
  return markup`<path class="ribbon c${flow.to % 6}" d="M${x0} ${top0} C${middle} ${top0} ${middle} ${top1} ${x1} ${top1} V${top1 + height} C${middle} ${top1 + height} ${middle} ${top0 + height} ${x0} ${top0 + height} Z"><title>${tip}</title></path>`;
}

/** Pushed down where two would overlap. */
function endLabels(
  levels: readonly string[],
  answered: readonly number[],
  answeredBefore: (k: number) => number,
  x: number,
  formatShare: (share: number) => string,
): (Markup | null)[] {
  let lowest = Number.NEGATIVE_INFINITY;
  const wanted = levels.map((_, k) => {
    if (answered[k] === 0) return lowest;
    lowest = Math.max(y(answeredBefore(k)) + thickness(answered[k] ?? 0) / 2 + 4, lowest + LINE_PX);
    return lowest;
  });
  const excess = Math.max(0, lowest - (TOP + HEIGHT + 18));
  // From the bottom up: no label below the picture, none on another.
  const places = wanted.map((at, k) => Math.min(at, lowest - excess - (levels.length - 1 - k) * LINE_PX));
  return levels.map((name, k) =>
    answered[k] === 0
      ? null
      : markup`<text class="tick" x="${x + 8}" y="${places[k] ?? 0}">${`${shorten(name, 18)}: ${formatShare(answered[k] ?? 0)}`}</text>`,
  );
}

function y(share: number): number {
  return TOP + Math.min(1, Math.max(0, share)) * HEIGHT;
}

/** At least a hair line, so that a rare path is seen. */
function thickness(share: number): number {
  return share > 0 ? Math.max(0.75, Math.min(1, share) * HEIGHT) : 0;
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
