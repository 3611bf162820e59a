/**
 * Drift watch: notices that traffic is no longer what the certificate was made for. Two detectors on one plain state:
 * disagreement of shadowed rows with the last level (drift-evidence.ts), and, for free, the shares of rows that each
 * level passes on and its confidences, window by window (distribution-shift.ts).
 */
import type { OperatingPoint } from "../../proto/files/cascade-file.ts";
import { CONFIDENCE_BINS } from "./cascade-statistics.ts";
import { findShift, type ShiftTest } from "./distribution-shift.ts";
import { type DriftEvidence, eValue, NO_EVIDENCE, observeDisagreement } from "./drift-evidence.ts";
import { entryLevel } from "./policy.ts";

/** Rows that enter the cascade in one window of the free detector, and windows that teach it the confidences. */
const WINDOW_ROWS = 2_000;
const REFERENCE_WINDOWS = 5;
/** One false alarm of the free detector in 100,000 windows; a share that moved by less than 5 points is no news. */
const WINDOW_FALSE_ALARM_RATE = 1e-5;
const TOLERANCE = 0.05;

/** Mean number of shadowed rows until a false alarm, at a true disagreement as large as the bound allows. */
export const DEFAULT_ROWS_TO_FALSE_ALARM = 100_000;

export interface DriftAlarm {
  readonly detector: "disagreement" | "paths" | "confidence";
  /** What was seen, for log and report. */
  readonly text: string;
  readonly atEpochMs: number;
}

/** A plain value that survives JSON, so that a reload of the same policy goes on where the old model stopped. */
export interface DriftState {
  /** What the state belongs to: with another policy it starts anew, with another point all but the alarm does. */
  readonly policy: string;
  readonly point: string;
  readonly evidence: DriftEvidence;
  /** Latched: only another policy ends it. */
  readonly alarm: DriftAlarm | null;
  readonly windowRows: number;
  /** Counts of the present window: paths[k][j] rows from level k to j, confidences[k][bin]. */
  readonly paths: readonly (readonly number[])[];
  readonly confidences: readonly (readonly number[])[];
  /** Confidences of the certify split, or where the file lacks them of the first windows: what later ones shall be like. */
  readonly reference: readonly (readonly number[])[];
  readonly referenceWindows: number;
}

export interface DriftOptions {
  readonly levels: number;
  /** Tells one policy of the whole cascade from another. */
  readonly policy: string;
  /** The point whose traffic is watched. */
  readonly point: OperatingPoint;
  readonly rowsToFalseAlarm: number;
}

export class DriftWatch {
  readonly #levels: number;
  readonly #rowsToFalseAlarm: number;
  readonly #policy: string;
  #point: OperatingPoint;
  /** Where the point's rows enter: there a window counts them. */
  #entryLevel: number;
  #evidence: DriftEvidence = NO_EVIDENCE;
  #alarm: DriftAlarm | null = null;
  #windowRows = 0;
  #paths: number[][] = [];
  #confidences: number[][] = [];
  #reference: number[][] = [];
  #referenceWindows = 0;

  constructor(options: DriftOptions) {
    this.#levels = options.levels;
    this.#rowsToFalseAlarm = options.rowsToFalseAlarm;
    this.#point = options.point;
    this.#entryLevel = entryLevel(options.point.gates);
    this.#policy = options.policy;
    this.#startAnew();
  }

  /**
   * Goes on with what an earlier model of this name noticed, as far as it speaks of the same: nothing of another policy,
   * of another point only the alarm. An alarm of its own stays.
   */
  resume(state: DriftState): void {
    if (state.policy !== this.#policy) return;
    this.#alarm ??= state.alarm;
    if (state.point !== this.#point.name) return;
    this.#evidence = state.evidence;
    this.#windowRows = state.windowRows;
    this.#paths = state.paths.map((row) => [...row]);
    this.#confidences = state.confidences.map((row) => [...row]);
    this.#reference = state.reference.map((row) => [...row]);
    this.#referenceWindows = state.referenceWindows;
  }

  /** Takes an alarm that an earlier model of this name raises late, if it speaks of the same policy. */
  adopt(alarm: DriftAlarm, policy: string): void {
    if (policy === this.#policy) this.#alarm ??= alarm;
  }

  get alarm(): DriftAlarm | null {
    return this.#alarm;
  }

  get eValue(): number {
    return eValue(this.#evidence);
  }

  /** What disagreement is tested against; undefined: nothing is certified, so it is not tested. */
  get bound(): number | undefined {
    return this.#point.certificate?.disagreementBound;
  }

  get state(): DriftState {
    return {
      policy: this.#policy,
      point: this.#point.name,
      evidence: this.#evidence,
      alarm: this.#alarm,
      windowRows: this.#windowRows,
      paths: this.#paths.map((row) => [...row]),
      confidences: this.#confidences.map((row) => [...row]),
      reference: this.#reference.map((row) => [...row]),
      referenceWindows: this.#referenceWindows,
    };
  }

  /** Watches another point: what its traffic looks like is learnt anew; an alarm stays. */
  watch(point: OperatingPoint): void {
    if (point.name === this.#point.name) return;
    this.#point = point;
    this.#entryLevel = entryLevel(point.gates);
    this.#startAnew();
  }

  #startAnew(): void {
    this.#evidence = NO_EVIDENCE;
    this.#windowRows = 0;
    this.#paths = zeros(this.#levels, this.#levels);
    this.#confidences = zeros(this.#levels, CONFIDENCE_BINS);
    const reference = certifiedReference(this.#point, this.#levels);
    this.#reference = reference ?? zeros(this.#levels, CONFIDENCE_BINS);
    this.#referenceWindows = reference === undefined ? 0 : REFERENCE_WINDOWS;
  }

  /** One row at a level, on its way by the watched point. `bin`: of its confidence; -1: none. Allocates nothing. */
  observeRow(level: number, destination: number, bin: number): void {
    const paths = this.#paths[level];
    const confidences = this.#confidences[level];
    if (paths === undefined || confidences === undefined) return;
    paths[destination] = (paths[destination] ?? 0) + 1;
    if (bin >= 0) confidences[bin] = (confidences[bin] ?? 0) + 1;
    if (level === this.#entryLevel) this.#windowRows++;
  }

  /** Ends the window if it is full; returns the alarm that this raises, once. Call it once a request. */
  endWindow(epochMs: number): DriftAlarm | undefined {
    if (this.#windowRows < WINDOW_ROWS) return undefined;
    const found = this.#alarm === null ? (this.#shiftedPath() ?? this.#shiftedConfidence()) : undefined;
    if (this.#referenceWindows < REFERENCE_WINDOWS && found === undefined) this.#learnConfidences();
    this.#windowRows = 0;
    for (const row of [...this.#paths, ...this.#confidences]) row.fill(0);
    return found === undefined ? undefined : this.#raise({ ...found, atEpochMs: epochMs });
  }

  /** One shadowed row, or one that the last level answered itself; returns the alarm that this raises, once. */
  observeShadow(disagrees: boolean, epochMs: number): DriftAlarm | undefined {
    const { bound } = this;
    if (bound === undefined) return undefined;
    this.#evidence = observeDisagreement(this.#evidence, disagrees, bound);
    if (this.#alarm !== null || this.eValue < this.#rowsToFalseAlarm) return undefined;
    const { disagreements, rows } = this.#evidence;
    const text =
      `the cascade disagrees with its last level more often than the certified ${percent(bound)}: ` +
      `${disagreements} of ${rows} shadowed rows in all, evidence ${this.eValue.toExponential(1)}`;
    return this.#raise({ detector: "disagreement", text, atEpochMs: epochMs });
  }

  #raise(alarm: DriftAlarm): DriftAlarm {
    this.#alarm = alarm;
    return alarm;
  }

  #shiftedPath(): Omit<DriftAlarm, "atEpochMs"> | undefined {
    const { expected, certificate } = this.#point;
    if (expected === null || certificate === null) return undefined;
    for (let k = 0; k < this.#levels; k++) {
      const referenceRows = certificate.samples * (expected.reach[k] ?? 0);
      const shift = findShift(this.#paths[k] ?? [], expected.paths[k] ?? [], referenceRows, this.#test());
      if (shift === undefined) continue;
      const share = shift.cell === k ? `answers ${percent(shift.observed)}` : `sends ${percent(shift.observed)}`;
      const where = shift.cell === k ? "of its rows itself" : `of its rows to level ${shift.cell}`;
      return { detector: "paths", text: `level ${k} ${share} ${where}, expected ${percent(shift.expected)}` };
    }
    return undefined;
  }

  #shiftedConfidence(): Omit<DriftAlarm, "atEpochMs"> | undefined {
    // Nothing is promised of an uncertified point: there is nothing for an alarm to void.
    if (this.#point.certificate === null || this.#referenceWindows < REFERENCE_WINDOWS) return undefined;
    for (let k = 0; k < this.#levels; k++) {
      const reference = this.#reference[k] ?? [];
      const rows = reference.reduce((sum, count) => sum + count, 0);
      const shares = reference.map((count) => count / Math.max(1, rows));
      const shift = findShift(this.#confidences[k] ?? [], shares, rows, this.#test());
      if (shift === undefined) continue;
      const low = shift.cell / CONFIDENCE_BINS;
      const text =
        `level ${k} has ${percent(shift.observed)} of its confidences between ${low.toFixed(2)} and ` +
        `${(low + 1 / CONFIDENCE_BINS).toFixed(2)}, expected ${percent(shift.expected)}`;
      return { detector: "confidence", text };
    }
    return undefined;
  }

  #learnConfidences(): void {
    this.#referenceWindows++;
    this.#confidences.forEach((row, k) => {
      const reference = this.#reference[k] ?? [];
      row.forEach((count, bin) => {
        reference[bin] = (reference[bin] ?? 0) + count;
      });
    });
  }

  #test(): ShiftTest {
    const cells = this.#levels * (this.#levels + CONFIDENCE_BINS);
    return { falseAlarmRate: WINDOW_FALSE_ALARM_RATE, tolerance: TOLERANCE, cells };
  }
}

/** Rows of the certify split by their confidence; undefined where the file does not tell them. */
function certifiedReference({ expected, certificate }: OperatingPoint, levels: number): number[][] | undefined {
  if (expected?.confidences == null || certificate === null) return undefined;
  const { confidences, reach } = expected;
  return Array.from({ length: levels }, (_, k) => {
    const rows = certificate.samples * (reach[k] ?? 0);
    return Array.from({ length: CONFIDENCE_BINS }, (_, bin) => (confidences[k]?.[bin] ?? 0) * rows);
  });
}

function zeros(rows: number, columns: number): number[][] {
  return Array.from({ length: rows }, () => new Array<number>(columns).fill(0));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
