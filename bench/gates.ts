/** The limits that `npm run bench:check` holds, as functions of measured values. */
import { digits } from "./report.ts";
import { median } from "./statistics.ts";

/** A limit and what was measured against it. */
export interface Gate {
  readonly name: string;
  readonly passed: boolean;
  /** What was measured, with the limit and the numbers behind it. */
  readonly text: string;
}

/** Server and floor of one round, CPU µs per request. */
export interface Round {
  readonly serverUs: number;
  readonly floorUs: number;
}

/** The server's CPU time is at most `limit` times the floor's: the median of the rounds' own ratios. */
export function ratioGate(name: string, rounds: readonly Round[], limit: number): Gate {
  const ratio = median(rounds.map(({ serverUs, floorUs }) => serverUs / floorUs));
  const text = `${ratio.toFixed(2)}x the CPU of the echo, at most ${limit}x (${medians(rounds)})`;
  return { name, passed: ratio <= limit, text };
}

/** The server's CPU time is at most `limitUs` above the floor's: the median of the rounds' own differences. */
export function overheadGate(name: string, rounds: readonly Round[], limitUs: number): Gate {
  const overUs = median(rounds.map(({ serverUs, floorUs }) => serverUs - floorUs));
  const text = `${digits(overUs)} us over bare compute, at most ${limitUs} us (${medians(rounds)})`;
  return { name, passed: overUs <= limitUs, text };
}

/** Every refusal, the first one in a fresh process included, took less than `limitMs`. */
export function refusalGate(name: string, refusalsMs: readonly number[], limitMs: number): Gate {
  const worstMs = refusalsMs.length === 0 ? Number.NaN : Math.max(...refusalsMs);
  const [first = Number.NaN] = refusalsMs;
  const text = `worst ${worstMs.toFixed(2)} ms, less than ${limitMs} ms (first ${first.toFixed(2)}, median ${median(refusalsMs).toFixed(2)})`;
  return { name, passed: worstMs < limitMs, text };
}

function medians(rounds: readonly Round[]): string {
  const serverUs = median(rounds.map((round) => round.serverUs));
  const floorUs = median(rounds.map((round) => round.floorUs));
  return `${digits(serverUs)} against ${digits(floorUs)} us, ${rounds.length} rounds`;
}
