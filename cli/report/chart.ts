/** Charts of x and y as SVG: lines, steps, scatter, bars and bands over shared axes. Colours come from the page's style. */
import { type Markup, markup } from "./markup.ts";
import { linearTicks, logTicks } from "./ticks.ts";

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Shown when pointed at; "" for nothing. */
  readonly title: string;
  /** Written next to the point. */
  readonly label?: string;
  /** Ends of a band or of an error bar. */
  readonly low?: number;
  readonly high?: number;
  /** Bars: the bar spans x to `xEnd`. */
  readonly xEnd?: number;
}

export interface Series {
  /** In the legend; "" keeps it out. */
  readonly name: string;
  readonly kind: "line" | "step" | "scatter" | "bar" | "band";
  /** 0 to 5: a colour of the page; "muted" for what only helps the eye. */
  readonly color: number | "muted";
  readonly points: readonly ChartPoint[];
  readonly dashed?: boolean;
  readonly mark?: "dot" | "ring" | "diamond" | "star";
}

export interface Axis {
  readonly label: string;
  readonly scale: "linear" | "log";
  /** null: from the points, with a margin. */
  readonly domain: readonly [number, number] | null;
  readonly format: (value: number) => string;
}

export interface ChartOptions {
  /** Read aloud instead of the picture. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
  readonly low: number;
  readonly high: number;
}

const MARGIN = { top: 14, right: 18, bottom: 46, left: 62 };
/** Distance of ticks, px, more or less. */
const TICK_PX = 65;
/** Height of a line of text, px. */
const LINE_PX = 14;
/** Width of a character in the legend and in labels, px, on the wide side. */
const CHARACTER_PX = 6.6;

/** Points that are not finite, or not positive on a logarithmic axis, are left out. */
export function chart(options: ChartOptions): Markup {
  const { width, height, x, y } = options;
  const usable = (value: number | undefined, axis: Axis) =>
    value === undefined || (Number.isFinite(value) && (axis.scale === "linear" || value > 0));
  const series = options.series.map((one) => ({
    ...one,
    points: one.points.filter(
      (p) => usable(p.x, x) && usable(p.xEnd, x) && usable(p.y, y) && usable(p.low, y) && usable(p.high, y),
    ),
  }));
  const legend = legendRows(series, width - MARGIN.left - MARGIN.right);
  const top = MARGIN.top + legend.rows * (LINE_PX + 4);
  const points = series.flatMap((one) => one.points);
  const xs = scaleOf(
    x,
    points.flatMap((p) => [p.x, p.xEnd ?? p.x]),
    [MARGIN.left, width - MARGIN.right],
  );
  const ys = scaleOf(
    y,
    points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]),
    [height - MARGIN.bottom, top],
  );
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" style="max-width:${width}px" role="img" aria-label="${options.description}">${[
    axes(options, xs, ys, top),
    legend.drawn,
    series.map((one) => drawSeries(one, xs, ys)),
    labels(series, xs, ys, width),
  ]}</svg>`;
}

function scaleOf(axis: Axis, values: readonly number[], [from, to]: readonly [number, number]): Scale {
  const log = axis.scale === "log";
  const [low, high] = axis.domain ?? paddedDomain(values, log);
  const map = log ? Math.log : (value: number) => value;
  const span = map(high) - map(low);
  return {
    at: (value) => from + ((map(Math.min(high, Math.max(low, value))) - map(low)) / span) * (to - from),
    ticks: log ? logTicks(low, high) : linearTicks(low, high, Math.max(2, Math.round(Math.abs(to - from) / TICK_PX))),
    low,
    high,
  };
}

/** Never empty, so that scales have something to divide by. */
function paddedDomain(values: readonly number[], log: boolean): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (log) {
    const pad = Math.max((high / low) ** 0.06, 1.1);
    return [low / pad, high * pad];
  }
  const pad = high > low ? (high - low) * 0.06 : Math.max(Math.abs(high) * 0.06, 1e-6);
  return [low - pad, high + pad];
}

function axes({ width, height, x, y }: ChartOptions, xs: Scale, ys: Scale, top: number): Markup[] {
  const bottom = height - MARGIN.bottom;
  const right = width - MARGIN.right;
  const middle = (top + bottom) / 2;
  return [
    ...ys.ticks.map(
      (tick) =>
        markup`<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${ys.at(tick)}" y2="${ys.at(tick)}"/><text class="tick" text-anchor="end" x="${MARGIN.left - 7}" y="${ys.at(tick) + 4}">${y.format(tick)}</text>`,
    ),
    ...xs.ticks.map(
      (tick) =>
        markup`<line class="grid" x1="${xs.at(tick)}" x2="${xs.at(tick)}" y1="${top}" y2="${bottom}"/><text class="tick" text-anchor="middle" x="${xs.at(tick)}" y="${bottom + 17}">${x.format(tick)}</text>`,
    ),
    markup`<line class="axis" x1="${MARGIN.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`,
    markup`<text class="name" text-anchor="middle" x="${(MARGIN.left + right) / 2}" y="${height - 8}">${x.label}</text>`,
    markup`<text class="name" text-anchor="middle" transform="translate(15 ${middle}) rotate(-90)">${y.label}</text>`,
  ];
}

function legendRows(series: readonly Series[], widthPx: number): { rows: number; drawn: Markup[] } {
  const drawn: Markup[] = [];
  let [row, left] = [0, 0];
  for (const one of series.filter(({ name, points }) => name !== "" && points.length > 0)) {
    const itemPx = 30 + one.name.length * CHARACTER_PX + 12;
    if (left > 0 && left + itemPx > widthPx) [row, left] = [row + 1, 0];
    const [x, y] = [MARGIN.left + left, 10 + row * (LINE_PX + 4)];
    drawn.push(markup`<g>${swatch(one, x, y)}<text class="tick" x="${x + 28}" y="${y + 4}">${one.name}</text></g>`);
    left += itemPx;
  }
  return { rows: drawn.length === 0 ? 0 : row + 1, drawn };
}

function swatch(series: Series, x: number, y: number): Markup {
  if (series.kind === "scatter") return mark(series, x + 12, y, null);
  if (series.kind === "bar" || series.kind === "band") {
    return markup`<rect class="${series.kind} ${colorClass(series)}" x="${x + 2}" y="${y - 5}" width="20" height="10"/>`;
  }
  return markup`<line class="line ${colorClass(series)}${dashClass(series)}" x1="${x}" x2="${x + 24}" y1="${y}" y2="${y}"/>`;
}

function drawSeries(series: Series, xs: Scale, ys: Scale): Markup {
  const at = ({ x, y }: { readonly x: number; readonly y: number }) => `${round(xs.at(x))} ${round(ys.at(y))}`;
  const { points } = series;
  switch (series.kind) {
    case "line":
    case "step": {
      // A step holds its y until the next point's x.
      const path = points.map((p, i) => {
        const before = points[i - 1];
        return series.kind === "step" && before !== undefined ? `${at({ x: p.x, y: before.y })} L${at(p)}` : at(p);
      });
      return markup`<path class="line ${colorClass(series)}${dashClass(series)}" d="M${path.join(" L")}"/>`;
    }
    case "band": {
      const upper = points.map((p) => at({ x: p.x, y: p.high ?? p.y }));
      const lower = points.map((p) => at({ x: p.x, y: p.low ?? p.y })).reverse();
      return markup`<path class="band ${colorClass(series)}" d="M${[...upper, ...lower].join(" L")} Z"/>`;
    }
    case "bar":
      return markup`<g>${points.map((p) => bar(series, p, xs, ys))}</g>`;
    case "scatter":
      return markup`<g>${points.map((p) => [errorBar(series, p, xs, ys), mark(series, xs.at(p.x), ys.at(p.y), p.title)])}</g>`;
  }
}

function bar(series: Series, point: ChartPoint, xs: Scale, ys: Scale): Markup {
  const [left, right] = [xs.at(point.x), xs.at(point.xEnd ?? point.x)];
  const base = ys.at(Math.max(0, ys.low));
  const y = ys.at(point.y);
  return markup`<rect class="bar ${colorClass(series)}" x="${left + 0.5}" y="${Math.min(y, base)}" width="${Math.max(1, right - left - 1)}" height="${Math.abs(base - y)}">${title(point.title)}</rect>`;
}

function errorBar(series: Series, { x, low, high }: ChartPoint, xs: Scale, ys: Scale): Markup | null {
  if (low === undefined || high === undefined) return null;
  return markup`<line class="line thin ${colorClass(series)}" x1="${xs.at(x)}" x2="${xs.at(x)}" y1="${ys.at(low)}" y2="${ys.at(high)}"/>`;
}

const STAR = "M0 -7 L1.8 -2.3 L6.8 -2.1 L2.9 1 L4.2 5.8 L0 3 L-4.2 5.8 L-2.9 1 L-6.8 -2.1 L-1.8 -2.3 Z";

function mark(series: Series, x: number, y: number, text: string | null): Markup {
  const color = colorClass(series);
  const tip = title(text ?? "");
  switch (series.mark ?? "dot") {
    case "dot":
      return markup`<circle class="dot ${color}" cx="${x}" cy="${y}" r="3.5">${tip}</circle>`;
    case "ring":
      return markup`<circle class="ring ${color}" cx="${x}" cy="${y}" r="4.5">${tip}</circle>`;
    case "diamond":
      return markup`<path class="dot ${color}" d="M0 -6 L6 0 L0 6 L-6 0 Z" transform="translate(${x} ${y})">${tip}</path>`;
    case "star":
      return markup`<path class="dot ${color}" d="${STAR}" transform="translate(${x} ${y}) scale(1.2)">${tip}</path>`;
  }
}

/** Written where they cover neither an earlier label nor the border; a label without such a place is left to its tooltip. */
function labels(series: readonly Series[], xs: Scale, ys: Scale, widthPx: number): Markup[] {
  const taken: { left: number; right: number; y: number }[] = [];
  const drawn: Markup[] = [];
  for (const { x, y, label } of series.flatMap((one) => one.points)) {
    if (label === undefined || label === "") continue;
    const lengthPx = label.length * CHARACTER_PX;
    const [px, py] = [xs.at(x), ys.at(y)];
    const place = [
      { left: px + 10, y: py + 16 },
      { left: px + 10, y: py - 8 },
      { left: px - 10 - lengthPx, y: py - 8 },
      { left: px - 10 - lengthPx, y: py + 16 },
      { left: px - lengthPx / 2, y: py + 24 },
      { left: px - lengthPx / 2, y: py - 16 },
    ].find(
      (p) =>
        p.left > MARGIN.left &&
        p.left + lengthPx < widthPx - 4 &&
        p.y < ys.at(ys.low) - 3 &&
        p.y > ys.at(ys.high) + 8 &&
        taken.every((t) => p.left > t.right || p.left + lengthPx < t.left || Math.abs(p.y - t.y) > LINE_PX - 1),
    );
    if (place === undefined) continue;
    taken.push({ left: place.left, right: place.left + lengthPx, y: place.y });
    drawn.push(markup`<text class="label" x="${place.left}" y="${place.y}">${label}</text>`);
  }
  return drawn;
}

function title(text: string): Markup | null {
  return text === "" ? null : markup`<title>${text}</title>`;
}

function colorClass({ color }: Series): string {
  return color === "muted" ? "muted" : `c${color}`;
}

function dashClass({ dashed }: Series): string {
  return dashed === true ? " dashed" : "";
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
