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

/** A refusal takes less than `limitMs`: the median; the first, with cold code, and the worst are told beside it. */
export function refusalGate(name: string, refusalsMs: readonly number[], limitMs: number): Gate {
  const [first = Number.NaN] = refusalsMs;
  const middle = median(refusalsMs);
  const range = `first ${first.toFixed(2)}, worst ${Math.max(...refusalsMs).toFixed(2)}, ${refusalsMs.length} times`;
  return { name, passed: middle < limitMs, text: `${middle.toFixed(2)} ms, less than ${limitMs} ms (${range})` };
}

function medians(rounds: readonly Round[]): string {
  const serverUs = median(rounds.map((round) => round.serverUs));
  const floorUs = median(rounds.map((round) => round.floorUs));
  return `${digits(serverUs)} against ${digits(floorUs)} us, ${rounds.length} rounds`;
}
