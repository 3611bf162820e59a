/** What the report of a calibration shows: plain values. Shares are of 1, costs are per row in `costUnit`. */
import type { ConfidenceQuality } from "../../planner/confidence/quality.ts";
import type { CERTIFIED_METRICS, Gate } from "../../proto/files/cascade-file.ts";

/** A share with its confidence interval; null: the interval is not known. */
export interface Estimate {
  readonly value: number;
  /** 95 %. */
  readonly interval: readonly [number, number] | null;
}

export interface CalibrationReportData {
  readonly cascade: string;
  readonly command: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly hybridserveVersion: string;
  readonly dataset: ReportDataset;
  readonly costUnit: string;
  /** What was asked to be certified. */
  readonly metric: (typeof CERTIFIED_METRICS)[number];
  readonly epsilon: number;
  readonly risk: number;
  /** Smallest level first. */
  readonly levels: readonly ReportLevel[];
  /** Front of the searched thresholds, each with the figures of the split named in `graphSplit`. */
  readonly graph: readonly ReportGraphPoint[];
  readonly graphSplit: "tune" | "certify";
  /** What other ways to skip levels reach, e.g. "uniform skips", "no skips". */
  readonly ablation: readonly { readonly name: string; readonly points: readonly ReportGraphPoint[] }[];
  readonly points: readonly ReportPoint[];
  /** Name of the operating point that serves when nothing else chooses. */
  readonly defaultPoint: string;
  /** Steps of the fixed sequence in the order of the test, figures of the certify split. */
  readonly steps: readonly ReportStep[];
  /** Harm by class at the operating point `harmPoint`; empty where labels are no classes. */
  readonly classHarm: readonly ReportClassHarm[];
  /** Operating point of `classHarm` and `harmExamples`. */
  readonly harmPoint: string;
  /** Rows the last level gets right and the cascade wrong. */
  readonly harmExamples: readonly HarmExample[];
  /** Sentences. */
  readonly feasibility: readonly string[];
  readonly warnings: readonly string[];
}

export interface ReportDataset {
  /** Where the rows came from, in words. */
  readonly description: string;
  readonly rows: number;
  readonly fitRows: number;
  readonly tuneRows: number;
  readonly certifyRows: number;
  /** Groups of the certify rows and the rows with which one weighs at most; null: rows are on their own. */
  readonly certifyGroups: { readonly groups: number; readonly mostRows: number } | null;
  readonly tuneHash: string;
  readonly certifyHash: string;
  /** How often these certify rows were used for this cascade, this time included. */
  readonly certifyUses: number;
}

export interface ReportLevel {
  readonly model: string;
  readonly cost: number;
  readonly costSource: string;
  /** On the certify split. */
  readonly accuracy: Estimate;
  /** Accuracy on the split of the graph, where the level is a point of it. */
  readonly graphAccuracy: number;
  /** null: the last level, whose answers always stand. */
  readonly confidence: ReportConfidence | null;
}

export interface ReportConfidence {
  readonly function: string;
  /** Fitted parameters in short, e.g. "T = 1.31"; "" for none. */
  readonly params: string;
  /** What `before` is of: `max_prob`, or `min_token` for sequences. */
  readonly beforeFunction: string;
  /** The scores as they come out of the model, and the chosen function; null where not measured. */
  readonly before: ConfidenceQuality | null;
  readonly after: ConfidenceQuality;
}

export interface ReportGraphPoint {
  readonly cost: number;
  readonly accuracy: number;
  readonly certified: boolean;
}

export interface ReportPoint {
  readonly name: string;
  /** null: certified; else why not. */
  readonly uncertifiedBecause: string | null;
  /** Upper confidence bound of the metric; null without a certificate. */
  readonly bound: number | null;
  readonly accuracy: Estimate;
  readonly lastLevelAccuracy: number;
  readonly gap: number;
  readonly harm: number;
  readonly disagreement: number;
  readonly cost: number;
  /** reach[k]: share of the rows that enter level k. */
  readonly reach: readonly number[];
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j. */
  readonly paths: readonly (readonly number[])[];
  readonly gates: readonly Gate[];
  /** Figures on the split of the graph, where the point is drawn. */
  readonly graphCost: number;
  readonly graphAccuracy: number;
}

export interface ReportStep {
  readonly harm: number;
  readonly cost: number;
  readonly pValue: number;
  readonly passed: boolean;
}

export interface ReportClassHarm {
  readonly label: string;
  readonly rows: number;
  readonly harmed: number;
  /** Clopper-Pearson, 95 %. */
  readonly interval: readonly [number, number];
}

export interface HarmExample {
  /** Where the row stands in the data set. */
  readonly row: number;
  /** PNG data URI, or null where the input is no image: then `values` shows it; "" where it is not known. */
  readonly image: string | null;
  readonly values: string;
  readonly label: string;
  readonly cascadeAnswer: string;
  readonly confidence: number;
  /** Level that answered. */
  readonly level: number;
  readonly lastLevelAnswer: string;
}
