/**
 * Shadows: a share of the rows that a smaller level answered is also answered by the last level, off the critical path,
 * to see how often both disagree. A shadow goes out only while nothing waits for the last level and few shadows are
 * under way, so users' rows come first; what finds no room in a short backlog is dropped and counted.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { Cancellation } from "../cancellation.ts";
import { type AnswerOutputs, type RowAnswer, rowAnswer, sameAnswer } from "./answers.ts";
import type { CascadeStatistics } from "./cascade-statistics.ts";
import type { Level } from "./level.ts";
import { SeededChoice } from "./seeded-choice.ts";

/** Shadow requests under way at once, and rows that wait to be. */
export const MOST_RUNNING = 4;
export const MOST_WAITING_ROWS = 64;

export interface ShadowOptions {
  /** Share of rows, 0 to 1. */
  readonly share: number;
  readonly seed: number;
  readonly lastLevel: Level;
  readonly lastLevelIndex: number;
  readonly answers: AnswerOutputs;
  readonly statistics: CascadeStatistics;
}

/** Hears of one chosen row whether cascade and last level disagree. */
type Compared = (disagrees: boolean) => void;

interface Shadow {
  readonly request: InferenceRequest;
  /** The cascade's answers to its rows. */
  readonly answers: readonly RowAnswer[];
  readonly onCompared: Compared;
}

export class Shadows {
  readonly #options: ShadowOptions;
  readonly #choice: SeededChoice;
  readonly #waiting: Shadow[] = [];
  #waitingRows = 0;
  readonly #running = new Set<Cancellation>();
  #closed = false;

  constructor(options: ShadowOptions) {
    this.#options = options;
    this.#choice = new SeededChoice(options.share, options.seed);
  }

  /**
   * Chooses among the rows of an answered request, which are copied. A chosen row that the last level answered itself
   * agrees with it without a run: so the chosen rows are a plain sample of all rows, as on the certify split. Without
   * room nothing is observed, whoever answered.
   */
  offer(request: InferenceRequest, outputs: readonly Tensor[], levels: Int32Array, onCompared: Compared): void {
    if (this.#options.share <= 0 || this.#closed) return;
    const { lastLevelIndex, statistics } = this.#options;
    const picked: number[] = [];
    for (let row = 0; row < levels.length; row++) {
      if (!this.#choice.next()) continue;
      if (this.#waitingRows + picked.length >= MOST_WAITING_ROWS) statistics.shadowRowsDropped++;
      else if (levels[row] === lastLevelIndex) onCompared(false);
      else picked.push(row);
    }
    if (picked.length > 0) this.#enqueue(request, outputs, picked, onCompared);
  }

  /** Sends what waits, if the last level has time. */
  pump(): void {
    const { model } = this.#options.lastLevel;
    while (
      this.#waiting.length > 0 &&
      this.#running.size < MOST_RUNNING &&
      model.statistics.pendingRequestCount === 0
    ) {
      const shadow = this.#waiting.shift();
      if (shadow === undefined) return;
      this.#waitingRows -= shadow.answers.length;
      void this.#run(shadow);
    }
  }

  /** Drops what waits and gives up what runs. */
  close(): void {
    this.#closed = true;
    this.#options.statistics.shadowRowsDropped += this.#waitingRows;
    this.#waiting.length = 0;
    this.#waitingRows = 0;
    for (const cancellation of this.#running) cancellation.cancel(CLOSED);
  }

  #enqueue(
    request: InferenceRequest,
    outputs: readonly Tensor[],
    picked: readonly number[],
    onCompared: Compared,
  ): void {
    const { lastLevel } = this.#options;
    for (let start = 0; start < picked.length; start += lastLevel.maxRows) {
      const rows = picked.slice(start, start + lastLevel.maxRows);
      const asked = lastLevel.request(request, rows);
      // the memory of the request goes back to its owner with the answer
      const inputs = asked.inputs.map((input) => ({ ...input, data: new Uint8Array(input.data) }));
      const answers = rows.map((row) => rowAnswer(outputs, row, this.#options.answers));
      this.#waiting.push({ request: { ...asked, inputs }, answers, onCompared });
      this.#waitingRows += rows.length;
    }
  }

  /** Never rejects: a shadow that fails is counted, and nobody waits for it. */
  async #run({ request, answers, onCompared }: Shadow): Promise<void> {
    const { lastLevel, statistics } = this.#options;
    const cancellation = new Cancellation();
    this.#running.add(cancellation);
    try {
      const response = await lastLevel.model.infer(request, cancellation);
      const outputs = lastLevel.answers(response.outputs);
      statistics.shadowRows += answers.length;
      answers.forEach((answer, row) => {
        const disagrees = !sameAnswer(answer, rowAnswer(outputs, row, this.#options.answers));
        if (disagrees) statistics.shadowDisagreements++;
        onCompared(disagrees);
      });
    } catch {
      if (this.#closed) statistics.shadowRowsDropped += answers.length;
      else statistics.shadowRowsFailed += answers.length; // the level's own counters hold the reason
    } finally {
      this.#running.delete(cancellation);
      this.pump();
    }
  }
}

const CLOSED = new InferenceError("CANCELLED", "the cascade is closing");
