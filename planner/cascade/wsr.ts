/**
 * Betting test of a bounded mean (Waudby-Smith and Ramdas, arXiv 2010.09686): a capital that a mean above m cannot
 * grow but with small probability. It needs the order of the samples to be fixed before they are looked at.
 */

/** Share of the largest safe bet that is ever put on one sample. */
const MOST_BET = 0.75;

/**
 * p-value of "the mean of these values in [0,1] is at least m": 1 over the largest capital on the way. Bets follow the
 * running variance, l_i = min(sqrt(2 ln(1/risk) / (n s2_{i-1})), .75 / (1 - m)); `risk` only tunes them, the p-value
 * holds for any.
 */
export function bettingPValue(values: Float64Array, m: number, risk: number): number {
  if (m >= 1) return 1;
  const n = values.length;
  const cap = MOST_BET / (1 - m);
  const spread = (2 * Math.log(1 / risk)) / n;
  let logCapital = 0;
  let highest = 0;
  let sum = 0.5;
  let squares = 0.25;
  for (let i = 0; i < n; i++) {
    const value = values[i] as number; // i < length
    const bet = Math.min(Math.sqrt((spread * (i + 1)) / squares), cap);
    logCapital += Math.log1p(bet * (m - value));
    if (logCapital > highest) highest = logCapital;
    sum += value;
    const mean = sum / (i + 2);
    squares += (value - mean) * (value - mean);
  }
  return Math.exp(-highest);
}

/** Upper confidence bound of the mean at this risk: the smallest m that the test refuses. */
export function bettingUpperBound(values: Float64Array, risk: number): number {
  let low = 0;
  let high = 1;
  if (bettingPValue(values, 1 - 1e-9, risk) > risk) return 1;
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (bettingPValue(values, middle, risk) <= risk) high = middle;
    else low = middle;
  }
  return high;
}
