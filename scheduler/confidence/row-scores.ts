/** Sums over the scores of one row that every confidence of a class distribution is made of (hybridserve.md 3.1). */
import type { ScoreKind } from "../../proto/files/cascade-file.ts";

/** ln p is never below this: a probability of 0 is a feature of finite size, and equal from logits and probabilities. */
const LOG_FLOOR = Math.log(1e-12);

/**
 * One row at a time: `read` goes over its scores in place, the getters speak of the row read last. With
 * p = softmax(z / T): logits are z, probabilities count as z = ln p. Sigmoid outputs do not sum to one and stay as they
 * are (after sigmoid(logit(p) / T)); a single one is a distribution over two classes, p and 1 - p.
 */
export class RowScores {
  readonly #kind: ScoreKind;
  readonly #inverseT: number;
  readonly #withEntropy: boolean;
  /** Largest scores, descending; at least two. */
  readonly #top: Float64Array;
  #classes = 0;
  /** Softmax: sum of exp((z_j - z_max) / T), so at least 1. Sigmoid: sum of p. */
  #sum = 0;
  /** Softmax: sum of e_j ln e_j over the terms e_j of `#sum`. Sigmoid: sum of the two-class entropies. */
  #entropySum = 0;

  /** `largest`: how many of the largest scores `logProbability` is asked for. */
  constructor(kind: ScoreKind, temperature: number, largest = 1, withEntropy = false) {
    this.#kind = kind;
    this.#inverseT = 1 / temperature;
    this.#withEntropy = withEntropy;
    this.#top = new Float64Array(Math.max(2, largest));
  }

  /** Reads values[start .. start + classes); false where they are no finite numbers or no distribution. */
  read(values: ArrayLike<number>, start: number, classes: number): boolean {
    this.#classes = classes;
    this.#sum = 0;
    this.#entropySum = 0;
    if (classes === 0 || !this.#readLargest(values, start, classes)) return false;
    if (this.#kind === "logits") this.#sumLogits(values, start, classes);
    else if (this.#kind === "probabilities") {
      if (!(this.#largest > 0)) return false;
      this.#sumProbabilities(values, start, classes);
    } else this.#sumSigmoids(values, start, classes);
    return true;
  }

  /** max_j p_j. */
  get maxProbability(): number {
    return this.#kind === "sigmoid" ? this.#largest : 1 / this.#sum;
  }

  /** p_(1) - p_(2); of one class p itself, which is 1 for a softmax. */
  get margin(): number {
    const second = this.#top[1] as number; // there are at least two
    if (this.#kind === "sigmoid") return this.#largest - second;
    if (this.#classes === 1) return 1;
    const ratio =
      this.#kind === "logits"
        ? Math.exp((second - this.#largest) * this.#inverseT)
        : (Math.max(0, second) / this.#largest) ** this.#inverseT;
    return (1 - ratio) / this.#sum;
  }

  /** 1 - H / ln J: 1 is certain. Sigmoid outputs: 1 - the mean of their two-class entropies / ln 2. */
  get certainty(): number {
    const entropy =
      this.#kind === "sigmoid"
        ? this.#entropySum / (this.#classes * Math.LN2)
        : (Math.log(this.#sum) - this.#entropySum / this.#sum) / Math.log(this.#classes);
    return this.#classes === 1 && this.#kind !== "sigmoid" ? 1 : Math.min(1, Math.max(0, 1 - entropy));
  }

  /** ln p_(i+1), the largest at i = 0; not below ln 1e-12. */
  logProbability(i: number): number {
    const score = this.#top[i] as number; // `largest` was given as above i
    if (this.#kind === "sigmoid") return Math.max(LOG_FLOOR, Math.log(score));
    const distance = this.#kind === "logits" ? score - this.#largest : Math.log(Math.max(0, score) / this.#largest);
    return Math.max(LOG_FLOOR, distance * this.#inverseT - Math.log(this.#sum));
  }

  /** ln sum_j exp(z_j / T); near 0 from probabilities, which have lost it. Sigmoid: ln sum_j p_j. */
  get logSumExp(): number {
    if (this.#kind === "sigmoid") return Math.max(LOG_FLOOR, Math.log(this.#sum));
    const largest = this.#kind === "logits" ? this.#largest : Math.log(this.#largest);
    return largest * this.#inverseT + Math.log(this.#sum);
  }

  get #largest(): number {
    return this.#top[0] as number; // there are at least two
  }

  /** The largest scores by insertion: nearly every score of a long row is below the smallest that is kept. */
  #readLargest(values: ArrayLike<number>, start: number, classes: number): boolean {
    const top = this.#top;
    const last = top.length - 1;
    top.fill(Number.NEGATIVE_INFINITY);
    let smallest = Number.NEGATIVE_INFINITY;
    for (let i = start; i < start + classes; i++) {
      const value = values[i] as number; // the caller's row lies within the tensor
      if (value - value !== 0) return false; // NaN or infinite
      if (value <= smallest) continue;
      let place = last;
      while (place > 0 && (top[place - 1] as number) < value) {
        top[place] = top[place - 1] as number; // place is in 1..last, here and above
        place--;
      }
      top[place] = value;
      smallest = top[last] as number; // the last of the list
    }
    return true;
  }

  #sumLogits(values: ArrayLike<number>, start: number, classes: number): void {
    const largest = this.#largest;
    const inverseT = this.#inverseT;
    let sum = 0;
    let entropySum = 0;
    for (let i = start; i < start + classes; i++) {
      const distance = ((values[i] as number) - largest) * inverseT; // as in #readLargest
      const term = Math.exp(distance);
      sum += term;
      if (this.#withEntropy && term > 0) entropySum += term * distance;
    }
    this.#sum = sum;
    this.#entropySum = entropySum;
  }

  #sumProbabilities(values: ArrayLike<number>, start: number, classes: number): void {
    const largest = this.#largest;
    const inverseT = this.#inverseT;
    let sum = 0;
    let entropySum = 0;
    for (let i = start; i < start + classes; i++) {
      const ratio = Math.max(0, values[i] as number) / largest; // as in #readLargest
      const term = inverseT === 1 ? ratio : ratio ** inverseT;
      sum += term;
      if (this.#withEntropy && term > 0) entropySum += term * Math.log(term);
    }
    this.#sum = sum;
    this.#entropySum = entropySum;
  }

  #sumSigmoids(values: ArrayLike<number>, start: number, classes: number): void {
    for (let i = start; i < start + classes; i++) {
      const p = this.#tempered(values[i] as number); // as in #readLargest
      this.#sum += p;
      if (this.#withEntropy && p > 0 && p < 1) this.#entropySum -= p * Math.log(p) + (1 - p) * Math.log1p(-p);
    }
    for (let i = 0; i < this.#top.length; i++) this.#top[i] = this.#tempered(this.#top[i] as number); // in range
    if (classes > 1) return;
    const p = this.#largest;
    this.#top[0] = Math.max(p, 1 - p);
    this.#top[1] = Math.min(p, 1 - p);
  }

  /** sigmoid(logit(p) / T), order kept; outside 0..1 the nearer end. */
  #tempered(p: number): number {
    if (!(p > 0)) return 0;
    if (p >= 1) return 1;
    return this.#inverseT === 1 ? p : 1 / (1 + ((1 - p) / p) ** this.#inverseT);
  }
}
