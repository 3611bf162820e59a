/** What a ratio such as the paper's 19.8x needs, and which of it a scenario has. */
import { energyRatio, reachFor } from "./energy-ratio.ts";
import type { Scenario } from "./scenario-file.ts";
import { ratioConditions } from "./scenario-problem.ts";

/** The highest ratio that the HybridServe paper reports (arXiv 2505.12566, abstract). */
export const PAPER_RATIO = 19.8;

export interface RatioCondition {
  readonly what: string;
  readonly needed: string;
  readonly found: string;
  readonly isMet: boolean;
}

export interface RatioCheck {
  readonly conditions: readonly RatioCondition[];
  /** Ratio that no load exceeds: device seconds of the last level alone over those of the cascade, every shadow run. */
  readonly ceiling: number;
  /** The same without shadows. */
  readonly unwatchedCeiling: number;
}

/** Against giant-only on the same server with the same batches, devices that are not needed switched off. */
export function checkRatio(scenario: Scenario, ratio: number): RatioCheck {
  const fair = { baselineBatching: "any", unusedDevices: "off" } as const;
  const limit = ratioConditions(scenario, Number.POSITIVE_INFINITY, fair);
  const ceiling = energyRatio(limit).ratio;
  const own = limit.levels.map(({ reach }) => reach);
  const withLast = (lastReach: number): number[] => [...own.slice(0, -1), lastReach];
  const needed = reachFor(ratio, limit, withLast);
  const lastReach = own.at(-1) ?? 1;
  const unavoidable = smallerShare(limit.levels) + limit.shadowShare * (1 - lastReach);
  const lowestRate = scenario.rates.find((rate) => energyRatio(ratioConditions(scenario, rate, fair)).ratio >= ratio);
  const { certificate } = scenario;
  const conditions: RatioCondition[] = [
    {
      what: "work of the smaller levels and of shadows, against the last level's for every request",
      needed: `below ${percent(1 / ratio)}`,
      found: percent(unavoidable),
      isMet: unavoidable < 1 / ratio,
    },
    {
      what: "requests that reach the last level",
      needed: needed === null ? "no share is small enough: see above" : `at most ${percent(needed)}`,
      found: percent(lastReach),
      isMet: needed !== null && lastReach <= needed,
    },
    {
      what: "load that keeps the resident replicas busy",
      needed: "one of the rates tried is enough",
      found: lowestRate === undefined ? "none is" : `${lowestRate} requests/s`,
      isMet: lowestRate !== undefined,
    },
    {
      what: "accuracy of the last level kept",
      needed: "certified at this reach",
      found:
        certificate === null
          ? "not certified"
          : `drop of at most ${points(certificate.maxDrop)} points, risk ${percent(certificate.risk)}`,
      isMet: certificate !== null,
    },
  ];
  return { conditions, ceiling, unwatchedCeiling: energyRatio({ ...limit, shadowShare: 0 }).ratio };
}

/** Device seconds of all levels but the last for a request, over those of the last level for a row. */
function smallerShare(levels: readonly { devices: number; ratePerSecond: number; reach: number }[]): number {
  const seconds = levels.map(({ devices, ratePerSecond }) => devices / ratePerSecond);
  const smaller = levels.slice(0, -1).reduce((sum, { reach }, k) => sum + reach * (seconds[k] ?? 0), 0);
  return smaller / (seconds.at(-1) ?? Number.NaN);
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

function points(share: number): string {
  return String(Number((100 * share).toPrecision(3)));
}
