/**
 * Exact binomial tests and intervals. BinomCDF(k; n, p) = I_{1-p}(n-k, k+1) with the regularised incomplete beta
 * function by Lentz's continued fraction (Numerical Recipes 6.4); relative error below 1e-10 for n up to millions.
 */

/** P(X <= k) for X ~ Binomial(n, p). */
export function binomialCdf(k: number, n: number, p: number): number {
  if (k < 0) return 0;
  if (k >= n) return 1;
  return incompleteBeta(1 - p, n - k, k + 1);
}

/** Largest rate that k of n does not contradict at this risk (one-sided Clopper-Pearson). */
export function clopperPearsonUpper(k: number, n: number, risk: number): number {
  if (n === 0 || k >= n) return 1;
  return bisect((p) => binomialCdf(k, n, p) - risk);
}

/** Smallest rate that k of n does not contradict at this risk (one-sided Clopper-Pearson). */
export function clopperPearsonLower(k: number, n: number, risk: number): number {
  return n === 0 || k <= 0 ? 0 : 1 - clopperPearsonUpper(n - k, n, risk);
}

/** Two-sided Clopper-Pearson interval of a share, `risk` in all. */
export function clopperPearson(k: number, n: number, risk: number): [number, number] {
  return [clopperPearsonLower(k, n, risk / 2), clopperPearsonUpper(k, n, risk / 2)];
}

/** Largest number of losses among n that shows a rate of at most epsilon at this risk; -1: not even none does. */
export function largestCertifiable(n: number, epsilon: number, risk: number): number {
  if (binomialCdf(0, n, epsilon) > risk) return -1;
  let low = 0;
  let high = n;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (binomialCdf(middle, n, epsilon) <= risk) low = middle;
    else high = middle;
  }
  return low;
}

/** Least n for which losses at `rate`, below epsilon, show a rate of at most epsilon; parts of a loss count as such. */
export function samplesNeededAtRate(rate: number, epsilon: number, risk: number): number {
  const isEnough = (n: number) => binomialCdf(rate * n, n, epsilon) <= risk;
  let high = 1;
  while (!isEnough(high)) high *= 2;
  let low = Math.floor(high / 2);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isEnough(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/**
 * Hoeffding-Bentkus p-value of "the mean loss is above epsilon" for n losses in [0,1] of this mean (Bates et al. 2021,
 * arXiv 2101.02703): the smaller of Hoeffding's exp(-n kl) and e BinomCDF(ceil(n mean); n, epsilon).
 */
export function hoeffdingBentkus(mean: number, n: number, epsilon: number): number {
  if (mean >= epsilon) return 1;
  const hoeffding = Math.exp(-n * divergence(mean, epsilon));
  const bentkus = Math.E * binomialCdf(Math.ceil(n * mean - 1e-9), n, epsilon);
  return Math.min(1, hoeffding, bentkus);
}

/** Kullback-Leibler divergence of two coins. */
function divergence(a: number, b: number): number {
  const left = a === 0 ? 0 : a * Math.log(a / b);
  const right = a === 1 ? 0 : (1 - a) * Math.log((1 - a) / (1 - b));
  return left + right;
}

/** I_x(a, b), regularised. */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-14) break;
  }
  return fraction;
}

/** ln Gamma(x), x > 0: Stirling's series above 15, the recurrence below. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < 15) {
    shift += Math.log(z);
    z++;
  }
  const w = 1 / (z * z);
  const series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

/** Root of a falling function on 0..1. */
function bisect(f: (p: number) => number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 200 && high - low > 1e-15; i++) {
    const middle = (low + high) / 2;
    if (f(middle) > 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
