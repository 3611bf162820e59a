/** `--confidence auto`: which function serves a level, fitted on D1 and judged on D2. */
import { InferenceError } from "../../proto/errors.ts";
import { type FitData, fitConfidence } from "./fit.ts";
import { type ConfidenceQuality, confidenceQuality, type Placements, placements } from "./quality.ts";
import { applyConfidence, type FittedConfidence } from "./scores.ts";

/**
 * Simplest first. `platt_bin` and `isotonic` tie rows together, which leaves the search fewer cuts, and `benefit` is
 * no estimate of "right?": by AUROC they could win only by chance, so they are chosen by name only.
 */
export const AUTO_CANDIDATES: readonly string[] = [
  "max_prob",
  "temperature",
  "margin",
  "entropy",
  "platt",
  "logistic_topk",
];

/** Standard errors that a deficit must exceed to count: one-sided, 95 %. */
const NOISE = 1.645;

export interface JudgedConfidence {
  readonly fitted: FittedConfidence;
  /** On D2. */
  readonly quality: ConfidenceQuality;
  /** AUROC of the best candidate less its own, and the standard error of that difference. */
  readonly deficit: number;
  readonly deficitError: number;
}

export interface ChosenConfidence {
  readonly chosen: JudgedConfidence;
  /** All that could be fitted, simplest first. */
  readonly candidates: readonly JudgedConfidence[];
  /** Why others could not. */
  readonly skipped: readonly { readonly function: string; readonly reason: string }[];
}

/**
 * Fits every candidate on `fit` (D1) and takes the simplest whose AUROC of "right?" on `judge` (D2) is not worse than
 * the best one's by more than 1.645 standard errors of the paired difference (DeLong 1988). Where D2 is all right or
 * all wrong nothing can be ranked: the simplest. Throws INVALID_ARGUMENT where no candidate can be fitted.
 */
export function chooseConfidence(
  fit: FitData,
  judge: FitData,
  names: readonly string[] = AUTO_CANDIDATES,
): ChosenConfidence {
  const skipped: { function: string; reason: string }[] = [];
  const tried: { fitted: FittedConfidence; quality: ConfidenceQuality; placed: Placements }[] = [];
  for (const name of names) {
    try {
      const fitted = fitConfidence(name, fit);
      const q = applyConfidence(fitted, judge.scores);
      tried.push({ fitted, quality: confidenceQuality(q, judge.correct), placed: placements(q, judge.correct) });
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      skipped.push({ function: name, reason: error.message });
    }
  }
  const [first] = tried;
  if (first === undefined) {
    const reasons = skipped.map((skip) => `${skip.function}: ${skip.reason}`).join("; ");
    throw new InferenceError("INVALID_ARGUMENT", `no confidence function fits this level: ${reasons}`);
  }
  const best = tried.reduce((a, b) => (b.quality.auroc > a.quality.auroc ? b : a), first);
  const candidates = tried.map(({ fitted, quality, placed }) => ({
    fitted,
    quality,
    deficit: best.quality.auroc - quality.auroc,
    deficitError: differenceError(best.placed, placed),
  }));
  // The best one's own deficit is 0; NaN (nothing to rank) is no deficit.
  const chosen = candidates.find((candidate) => !(candidate.deficit > NOISE * candidate.deficitError));
  if (chosen === undefined) throw new InferenceError("INTERNAL", "the best confidence function is worse than itself");
  return { chosen, candidates, skipped };
}

/** Standard error of the difference of two AUROCs on the same rows. */
function differenceError(a: Placements, b: Placements): number {
  return Math.sqrt(varianceOfMean(a.right, b.right) + varianceOfMean(a.wrong, b.wrong));
}

function varianceOfMean(a: Float64Array, b: Float64Array): number {
  if (a.length < 2) return 0;
  const differences = a.map((share, i) => share - (b[i] as number)); // one of each a row
  const mean = differences.reduce((sum, d) => sum + d, 0) / a.length;
  return differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (a.length - 1) / a.length;
}
