/** Chooses and fits the confidence function of one level: on D1, judged on D2. */
import { InferenceError } from "../../proto/errors.ts";
import type { ConfidenceFunction } from "../../proto/files/cascade-file.ts";
import { chooseConfidence } from "../confidence/choose.ts";
import { FITTED_FUNCTIONS, fitConfidence } from "../confidence/fit.ts";
import { type ConfidenceQuality, confidenceQuality } from "../confidence/quality.ts";
import { applyConfidence, type FittedConfidence, scoresTensor } from "../confidence/scores.ts";
import { applySequence, fitSequence, type SequenceScores } from "../confidence/sequence.ts";
import type { Scores } from "./level-answers.ts";

/** Which function serves: the best by AUROC, the one the cascade has, or one by name. */
export type ConfidenceChoice = "auto" | "keep" | (string & {});

export interface JudgedLevel {
  readonly fitted: FittedConfidence;
  /** On D2: of the highest probability as it comes (least token of a sequence), and of the function that serves. */
  readonly before: ConfidenceQuality;
  readonly after: ConfidenceQuality;
}

/** Rows of one split with what is known of them; arrays are one element a row. */
export interface JudgedRows {
  readonly scores: Scores;
  readonly correct: Uint8Array;
  readonly lastCorrect: Uint8Array;
  /** Right class; null for sequences, whose functions need none. */
  readonly labels: Int32Array | null;
}

/** Summaries of a sequence's tokens, with parameters that are not fitted. */
const SEQUENCE_FUNCTIONS: Readonly<Record<string, FittedConfidence["params"]>> = {
  min_token: {},
  mean_log: {},
  quantile: { r: 0.1 },
};
/** Functions of one answer a row without parameters: a cascade of these alone needs no D1. */
const UNFITTED = ["max_prob", "margin", "entropy", "keep"];
/** AUROC that anything must gain over the plain least token: its cuts read as probabilities. */
const LEAST_GAIN = 0.005;

/** Whether a choice needs rows to fit on. */
export function needsFit(choice: ConfidenceChoice): boolean {
  return !UNFITTED.includes(choice);
}

/** `kept`: the function that the cascade has, for "keep". Throws INVALID_ARGUMENT where a function does not fit. */
export function judgeLevel(
  choice: ConfidenceChoice,
  kept: ConfidenceFunction | null,
  fit: JudgedRows,
  tune: JudgedRows,
): JudgedLevel {
  const { kind, tokens } = tune.scores;
  const fitted =
    choice === "keep" ? keptFunction(kept) : (tokens > 1 ? chooseSequence : chooseClass)(choice, fit, tune);
  const plain = { function: tokens > 1 ? "min_token" : "max_prob", kind, params: {} };
  const quality = (f: FittedConfidence) => confidenceQuality(confidencesOf(f, tune.scores), tune.correct);
  return { fitted, before: quality(plain), after: quality(fitted) };
}

/** The confidence of every row by the server's own functions. */
export function confidencesOf(fitted: FittedConfidence, scores: Scores): Float64Array {
  return scores.tokens > 1 ? applySequence(fitted, sequenceOf(scores)) : applyConfidence(fitted, scores);
}

function keptFunction(kept: ConfidenceFunction | null): FittedConfidence {
  if (kept === null) throw new InferenceError("INVALID_ARGUMENT", "--confidence keep: a level has no function to keep");
  return { function: kept.function, kind: kept.kind, params: kept.params };
}

function chooseClass(choice: ConfidenceChoice, fit: JudgedRows, tune: JudgedRows): FittedConfidence {
  if (choice === "auto") return chooseConfidence(fitData(fit), fitData(tune)).chosen.fitted;
  const known: readonly string[] = FITTED_FUNCTIONS;
  if (!known.includes(choice)) throw unknownFunction(choice, "for one answer a row", known);
  return fitConfidence(choice, fitData(fit));
}

/** The plain least token unless a fitted summary ranks clearly better. */
function chooseSequence(choice: ConfidenceChoice, fit: JudgedRows, tune: JudgedRows): FittedConfidence {
  const names = Object.keys(SEQUENCE_FUNCTIONS);
  if (choice !== "auto" && !names.includes(choice)) throw unknownFunction(choice, "of sequences", names);
  const fitted = (name: string) =>
    fitSequence(name, sequenceOf(fit.scores), fit.correct, SEQUENCE_FUNCTIONS[name] ?? {});
  if (choice !== "auto") return fitted(choice);
  let best: FittedConfidence = { function: "min_token", kind: tune.scores.kind, params: {} };
  let highest = auroc(best, tune) + LEAST_GAIN;
  for (const candidate of names.map(fitted)) {
    const reached = auroc(candidate, tune);
    if (reached <= highest) continue;
    best = candidate;
    highest = reached;
  }
  return best;
}

function auroc(fitted: FittedConfidence, rows: JudgedRows): number {
  return confidenceQuality(confidencesOf(fitted, rows.scores), rows.correct).auroc;
}

function sequenceOf(scores: Scores): SequenceScores {
  const { rows, tokens, classes, mask, kind } = scores;
  return {
    scores: { ...scoresTensor(scores), shape: [rows, tokens, classes] },
    mask: mask === null ? undefined : { name: "mask", datatype: "UINT8", shape: [rows, tokens], data: mask },
    rows,
    kind,
  };
}

function fitData({ scores, correct, lastCorrect, labels }: JudgedRows) {
  return { scores, correct, lastCorrect, labels: labels ?? undefined };
}

function unknownFunction(choice: string, what: string, known: readonly string[]): InferenceError {
  return new InferenceError(
    "INVALID_ARGUMENT",
    `--confidence '${choice}' is not a function ${what}; known: auto, keep, ${known.join(", ")}`,
  );
}
