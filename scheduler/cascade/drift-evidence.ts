/**
 * Evidence that the cascade disagrees with its last level more often than was certified: a restarted e-process
 * (an e-detector of Shiryaev-Roberts type, Shin, Ramdas and Rinaldo, arXiv 2203.03532). It bets on every observed row
 * that the rate is above the bound, and starts a new bet at every row, so calm years do not blind it.
 */

/** Alternatives that are bet on, as multiples of the bound: a small change takes long to show, a large one does not. */
const MULTIPLES = [1.5, 2, 3, 5, 10] as const;
/** Bets stay within these rates, so that no single row can break the bank, and every bet is above its bound. */
const LEAST_BOUND = 1e-4;
const MOST_RATE = 0.9;

/** A plain value: it goes through JSON and back. */
export interface DriftEvidence {
  /** Rows observed, and those where cascade and last level disagreed. */
  readonly rows: number;
  readonly disagreements: number;
  /** The capital of all bets on each alternative. */
  readonly capitals: readonly number[];
}

export const NO_EVIDENCE: DriftEvidence = { rows: 0, disagreements: 0, capitals: MULTIPLES.map(() => 0) };

/**
 * Evidence with one more row. `bound` is the certified rate of disagreement of the point that served the row. Under a
 * rate of at most `bound` a bet does not win on average, and E[eValue] grows by at most 1 a row: the mean number of
 * rows until `eValue` first reaches A is at least A.
 */
export function observeDisagreement(evidence: DriftEvidence, disagrees: boolean, bound: number): DriftEvidence {
  const p = Math.max(bound, LEAST_BOUND);
  const capitals = evidence.capitals.map((capital, i) => (capital + 1) * payoff(p, MULTIPLES[i] ?? 1, disagrees));
  return {
    rows: evidence.rows + 1,
    disagreements: evidence.disagreements + (disagrees ? 1 : 0),
    capitals: capitals.map((capital) => Math.min(capital, Number.MAX_SAFE_INTEGER)),
  };
}

/** Mean capital over the alternatives; an alarm is due when it reaches the mean time to a false alarm, in rows. */
export function eValue(evidence: DriftEvidence): number {
  return evidence.capitals.reduce((sum, capital) => sum + capital, 0) / evidence.capitals.length;
}

/** Likelihood ratio of the alternative to the bound; a bound that leaves no room above it is not bet against. */
function payoff(bound: number, multiple: number, disagrees: boolean): number {
  const rate = Math.min(bound * multiple, MOST_RATE);
  if (rate <= bound) return 1;
  return disagrees ? rate / bound : (1 - rate) / (1 - bound);
}
