/** Chooses and fits the confidence function of one level: on D1, judged on D2. */
import { InferenceError } from "../../proto/errors.ts";
import type { ConfidenceFunction } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { confidenceOf } from "../../scheduler/confidence/confidence.ts";
import { chooseConfidence } from "../confidence/choose.ts";
import { FITTED_FUNCTIONS, fitConfidence } from "../confidence/fit.ts";
import { type ConfidenceQuality, confidenceQuality } from "../confidence/quality.ts";
import type { FittedConfidence } from "../confidence/scores.ts";
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

const SEQUENCE_CANDIDATES = ["min_token", "mean_log", "quantile"];
/** Functions without parameters that need data: their cascade needs no D1. */
const UNFITTED = ["max_prob", "margin", "entropy", "model_output", ...SEQUENCE_CANDIDATES];
const DEFAULT_QUANTILE = 0.1;
/** AUROC that a less plain function of sequences must gain. */
const LEAST_GAIN = 0.005;

/** Whether a choice needs rows to fit on. */
export function needsFit(choice: ConfidenceChoice, tokens: number): boolean {
  return tokens === 1 && choice !== "keep" && !UNFITTED.includes(choice);
}

/** `kept`: the function that the cascade has, for "keep". Throws INVALID_ARGUMENT where a function does not fit. */
export function judgeLevel(
  choice: ConfidenceChoice,
  kept: ConfidenceFunction | null,
  fit: JudgedRows,
  tune: JudgedRows,
): JudgedLevel {
  const isSequence = tune.scores.tokens > 1;
  const plain = plainFunction(isSequence ? "min_token" : "max_prob", tune.scores);
  const fitted = chosen(choice, kept, fit, tune, isSequence);
  const quality = (f: FittedConfidence) => confidenceQuality(confidencesOf(f, tune.scores), tune.correct);
  return { fitted, before: quality(plain), after: quality(fitted) };
}

/** The confidence of every row by the server's own functions. */
export function confidencesOf(fitted: FittedConfidence, scores: Scores): Float64Array {
  const { values, rows, tokens, classes, mask } = scores;
  const tensor: Tensor = {
    name: "scores",
    datatype: values instanceof Float32Array ? "FP32" : "FP64",
    shape: tokens === 1 ? [rows, classes] : [rows, tokens, classes],
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
  const outputs: Record<string, string> = mask === null ? { scores: "scores" } : { scores: "scores", mask: "mask" };
  const maskTensor: Tensor = {
    name: "mask",
    datatype: "UINT8",
    shape: [rows, tokens],
    data: mask ?? new Uint8Array(0),
  };
  return confidenceOf({ ...fitted, outputs })((role) => (role === "mask" ? maskTensor : tensor), rows);
}

function chosen(
  choice: ConfidenceChoice,
  kept: ConfidenceFunction | null,
  fit: JudgedRows,
  tune: JudgedRows,
  isSequence: boolean,
): FittedConfidence {
  if (choice === "keep") {
    if (kept === null)
      throw new InferenceError("INVALID_ARGUMENT", "--confidence keep: a level has no function to keep");
    return { function: kept.function, kind: kept.kind, params: kept.params };
  }
  if (isSequence) return choice === "auto" ? bestOfSequences(tune) : plainFunction(choice, tune.scores);
  if (choice === "auto") return chooseConfidence(fitData(fit), fitData(tune)).chosen.fitted;
  const known: readonly string[] = FITTED_FUNCTIONS;
  if (!known.includes(choice)) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `--confidence '${choice}' is not a function for one answer a row; known: auto, keep, ${known.join(", ")}`,
    );
  }
  return fitConfidence(choice, fitData(needsFit(choice, 1) ? fit : tune));
}

/** The least token unless another summary ranks clearly better. */
function bestOfSequences(tune: JudgedRows): FittedConfidence {
  let best = plainFunction("min_token", tune.scores);
  let highest = auroc(best, tune) + LEAST_GAIN;
  for (const name of SEQUENCE_CANDIDATES.slice(1)) {
    const candidate = plainFunction(name, tune.scores);
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

function plainFunction(name: string, scores: Scores): FittedConfidence {
  return { function: name, kind: scores.kind, params: name === "quantile" ? { r: DEFAULT_QUANTILE } : {} };
}

function fitData({ scores, correct, lastCorrect, labels }: JudgedRows) {
  const { values, rows, classes, kind } = scores;
  return { scores: { values, rows, classes, kind }, correct, lastCorrect, labels: labels ?? undefined };
}
