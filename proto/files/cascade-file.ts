/**
 * cascade.json: the policy of a cascade, as calibration or a person wrote it. Levels count from 0, smallest first.
 */
export const CASCADE_FORMAT_VERSION = 1;

export interface CascadeFile {
  readonly formatVersion: number;
  readonly levels: readonly CascadeLevel[];
  readonly operatingPoints: readonly OperatingPoint[];
  readonly thresholdPerformanceGraph: readonly GraphPoint[];
  /** Name of the operating point used when nothing else chooses. */
  readonly default: string;
  readonly calibration: Calibration | null;
}

/** One model of the cascade and how it is wired to the cascade's tensors. */
export interface CascadeLevel {
  readonly model: string;
  /** "" follows the model's version policy. */
  readonly version: string;
  /** Level's input -> cascade's input; an input that is not named maps to its namesake. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Cascade's output -> level's output; an output that is not named maps to its namesake. */
  readonly outputs: Readonly<Record<string, string>>;
  /** labelMap[i]: the cascade's class of the level's class i; null: the same. */
  readonly labelMap: readonly number[] | null;
  /** null only at the last level, whose answers are always accepted. */
  readonly confidence: ConfidenceFunction | null;
  readonly cost: Cost | null;
}

/** What a score tensor holds. */
export type ScoreKind = "logits" | "probabilities" | "sigmoid";

export interface ConfidenceFunction {
  readonly function: string;
  readonly kind: ScoreKind;
  /** Role (`scores`, ...) -> the level's output tensor. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly params: Readonly<Record<string, number | readonly number[]>>;
}

export interface Cost {
  /** Per row. */
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

/** A cut that no confidence reaches, not even a saturated 1: as `accept` nothing stands, as `skip` every row skips. */
export const NEVER = 2;

/** What level k does with a row of confidence q. */
export interface Gate {
  /** q >= accept: the level's answer stands. Above 1 (`NEVER`): it never does. */
  readonly accept: number;
  /** q < skip[i]: the row goes to level k+2+i or higher; non-increasing, at most one cut per level behind the next. */
  readonly skip: readonly number[];
  /** q < below: too hard to be worth the path; null: no such band. */
  readonly hopeless: { readonly below: number; readonly action: "accept" | "last" } | null;
}

export interface OperatingPoint {
  readonly name: string;
  /** One gate for every level but the last. */
  readonly gates: readonly Gate[];
  readonly expected: Expectation | null;
  /** null: the point is uncertified. */
  readonly certificate: Certificate | null;
}

/** What a point did on held-out rows: on the certify split where there is a certificate. Shares are of 1. */
export interface Expectation {
  readonly accuracy: number;
  /** 95 % confidence interval of `accuracy`. */
  readonly accuracyInterval: readonly [number, number] | null;
  readonly lastLevelAccuracy: number;
  /** reach[k]: share of the rows that enter level k. */
  readonly reach: readonly number[];
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j. */
  readonly paths: readonly (readonly number[])[];
  /** Share of rows that the last level gets right and the cascade wrong. */
  readonly harm: number;
  /** lastLevelAccuracy - accuracy. */
  readonly gap: number;
  /** Share of rows that the cascade answers otherwise than the last level. */
  readonly disagreement: number;
  /**
   * confidences[k][bin]: shares of level k's rows by their confidence, in equal bins over 0..1; all 0 where nothing is
   * known, as at the last level. null: not recorded; drift then learns them from its first traffic.
   */
  readonly confidences: readonly (readonly number[])[] | null;
  /** Per row. */
  readonly cost: Cost;
}

export const CERTIFIED_METRICS = ["gap", "harm"] as const;

/** The statistical promise of an operating point; void once what it was computed for changes. */
export interface Certificate {
  /** What is promised to be at most `epsilon`, except with probability `risk`. */
  readonly metric: (typeof CERTIFIED_METRICS)[number];
  readonly epsilon: number;
  readonly risk: number;
  /** Upper confidence bound of the metric at this risk, never above epsilon. */
  readonly bound: number;
  /**
   * `wsr-fixed-sequence` (gap) or `binomial-fixed-sequence` (harm) of rows; `wsr-groups-fixed-sequence`: groups of rows
   * are the samples and weigh by their rows, so that it is the mean over rows that is bounded here too.
   */
  readonly method: string;
  /** Level that the cascade is compared with. */
  readonly reference: number;
  /** `prefix`: every point up to this one on the path holds at once. */
  readonly scope: string;
  /** Position on the path that was tested in order. */
  readonly pathIndex: number;
  /** Rows (groups with `--group-by`) of the certify split. */
  readonly samples: number;
  /** Rows of the certify split where the last level is right and the cascade wrong. */
  readonly losses: number;
  /** Upper confidence bound of the disagreement with the last level, what drift is measured against. */
  readonly disagreementBound: number;
  /** Hash of the rows that chose the thresholds, and of those that certify. */
  readonly tuneHash: string;
  readonly certifyHash: string;
  /** How often these certify rows have been used, this time included; above 1 the promise is weaker. */
  readonly certifyUses: number;
  readonly policyHash: string;
}

export interface GraphPoint {
  readonly gates: readonly Gate[];
  readonly accuracy: number;
  readonly cost: number;
}

/** Provider of a calibration whose levels all ran on another server: what it runs them on is not known. */
export const REMOTE_PROVIDER = "remote";

export interface Calibration {
  /** Of each level: `sha256:files:<hex>`, `sha256:metadata:<hex>` of a model on another server; "" where unknown. */
  readonly levelHashes: readonly string[];
  /** Execution provider of the levels that ran here: `cpu`; or `REMOTE_PROVIDER`; "": outputs were recorded. */
  readonly provider: string;
  readonly createdAt: string;
  readonly command: string;
}
