/**
 * Betting test of a bounded mean (Waudby-Smith and Ramdas, arXiv 2010.09686): a capital that a mean above m cannot
 * grow but with small probability. It needs the order of the samples to be fixed before they are looked at.
 */

/** Share of the largest safe bet that is ever put on one sample. */
const MOST_BET = 0.75;

/**
 * p-value of "E[value] is at least m E[weight]", for independent pairs with 0 <= value <= weight <= 1: 1 over the largest
 * capital on the way, prod 1 + l_i (m weight_i - value_i), which such pairs cannot grow in the mean. Without weights every
 * weight is 1 and m bounds the mean; with them it bounds the ratio of the means: groups weighed by their rows.
 *
 * Bets follow the running variance of value - ratio weight, l_i = min(sqrt(2 ln(1/risk) / (n s2_{i-1})), .75 / (1 - m));
 * no factor is below .25, since m weight - value >= -(1 - m). `risk` only tunes the bets, the p-value holds for any. It
 * falls as m grows, so the bound below is a bound.
 */
export function bettingPValue(values: Float64Array, m: number, risk: number, weights?: Float64Array): number {
  if (m >= 1) return 1;
  const n = values.length;
  const cap = MOST_BET / (1 - m);
  const spread = (2 * Math.log(1 / risk)) / n;
  let logCapital = 0;
  let highest = 0;
  let sum = 0.5;
  let weighed = 1;
  let squares = 0.25;
  for (let i = 0; i < n; i++) {
    const value = values[i] as number; // i < length
    const weight = weights?.[i] ?? 1;
    const bet = Math.min(Math.sqrt((spread * (i + 1)) / squares), cap);
    logCapital += Math.log1p(bet * (m * weight - value));
    if (logCapital > highest) highest = logCapital;
    sum += value;
    weighed += weight;
    const rest = value - (sum / weighed) * weight;
    squares += rest * rest;
  }
  return Math.exp(-highest);
}

/** Upper confidence bound of the mean, or of the ratio of the means, at this risk: the smallest m that the test refuses. */
export function bettingUpperBound(values: Float64Array, risk: number, weights?: Float64Array): number {
  let low = 0;
  let high = 1;
  if (bettingPValue(values, 1 - 1e-9, risk, weights) > risk) return 1;
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (bettingPValue(values, middle, risk, weights) <= risk) high = middle;
    else low = middle;
  }
  return high;
}
