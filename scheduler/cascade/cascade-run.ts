/**
 * One request on its way through a cascade. Rows are routed one by one: as soon as a level has answered a row, the row
 * is done or waits at its next level together with rows of other requests; no row waits for its neighbours.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { Gate } from "../../proto/files/cascade-file.ts";
import { type InferenceRequest, requestIdPrefix } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { ExecutionTiming } from "../instance.ts";
import type { ModelResponse } from "../model.ts";
import { type CascadeStatistics, confidenceBin, type EscalationReason } from "./cascade-statistics.ts";
import { deadlineRoute } from "./deadline.ts";
import type { DriftWatch } from "./drift.ts";
import type { Level } from "./level.ts";
import { route } from "./policy.ts";
import { RowOutputs } from "./row-outputs.ts";
import type { ServiceTime } from "./service-time.ts";

/** When a level fails a row: the request fails, or the row keeps the best answer that it has. */
export const ON_LEVEL_FAILURE = ["fail", "degrade"] as const;
export type OnLevelFailure = (typeof ON_LEVEL_FAILURE)[number];

/** What all requests of a cascade share. */
export interface RunEnvironment {
  readonly levels: readonly Level[];
  /** One a level. */
  readonly serviceTimes: readonly ServiceTime[];
  readonly statistics: CascadeStatistics;
  readonly clock: Clock;
  readonly onLevelFailure: OnLevelFailure;
  readonly deadlineEscalation: boolean;
}

/** What decides the way of a request's rows. */
export interface RunPlan {
  /** One for every level but the last. */
  readonly gates: readonly Gate[];
  readonly entryLevel: number;
  /** Answers of this level are always accepted. */
  readonly lastLevel: number;
  /** Sees every row's way; undefined where the request does not take the watched point's way. */
  readonly watch: DriftWatch | undefined;
}

/** A level's answers to some rows: what they get if their next level fails. `positions` are rows of `answers`. */
interface Fallback {
  readonly level: number;
  readonly answers: readonly Tensor[];
  readonly confidences: Float64Array | undefined;
  readonly positions: readonly number[];
}

/** Rows of the request, and the row of a level's response that answers each. */
interface RowGroup {
  readonly rows: number[];
  readonly positions: number[];
}

export class CascadeRun {
  readonly #environment: RunEnvironment;
  readonly #plan: RunPlan;
  readonly #request: InferenceRequest;
  readonly #cancellation: Cancellation | undefined;
  /** What the levels hear: fires with the caller's cancellation, and with the failure that ends the request. */
  readonly #atLevels: Cancellation;
  readonly #outputs: RowOutputs;
  /** Level that answered each row, and how sure it was. */
  readonly levels: Int32Array<ArrayBuffer>;
  readonly confidences: Float32Array<ArrayBuffer>;
  /** Whether any row got another answer than its gates wanted. */
  degraded = false;
  readonly #timing = { computeInputMs: 0, computeInferMs: 0, computeOutputMs: 0 };

  constructor(
    environment: RunEnvironment,
    plan: RunPlan,
    request: InferenceRequest,
    rows: number,
    cancellation: Cancellation | undefined,
  ) {
    this.#environment = environment;
    this.#plan = plan;
    this.#request = request;
    this.#cancellation = cancellation;
    this.#atLevels = new Cancellation(cancellation?.deadlineMs);
    cancellation?.onCancel((reason) => this.#atLevels.cancel(reason));
    this.#outputs = new RowOutputs(rows);
    this.levels = new Int32Array(rows);
    this.confidences = new Float32Array(rows);
  }

  /** Sums over the executions that this request took part in. */
  get timing(): ExecutionTiming {
    return this.#timing;
  }

  /**
   * Routes every row to its answer; rejects with the first failure of a level that no earlier answer makes up for. Then
   * the rows still under way are called back, and have come back before it rejects: no level reads the request any more.
   */
  async run(): Promise<readonly Tensor[]> {
    const rows = Array.from(this.levels, (_, row) => row);
    await this.#enter(this.#plan.entryLevel, rows, undefined);
    return this.#outputs.merge();
  }

  /** Sends rows to a level, no more at a time than it takes. An empty request is asked for its shapes. */
  async #enter(level: number, rows: readonly number[], fallback: Fallback | undefined): Promise<void> {
    const { maxRows } = this.#level(level);
    if (rows.length <= maxRows) return this.#ask(level, rows, fallback);
    const parts: Promise<void>[] = [];
    for (let start = 0; start < rows.length; start += maxRows) {
      const end = start + maxRows;
      const positions = fallback?.positions.slice(start, end) ?? [];
      parts.push(this.#ask(level, rows.slice(start, end), fallback && { ...fallback, positions }));
    }
    await this.#allOf(parts);
  }

  /** Ends when all ways have ended, also those that end because another failed. */
  async #allOf(ways: readonly Promise<void>[]): Promise<void> {
    try {
      await Promise.all(ways);
    } catch (error) {
      await Promise.allSettled(ways);
      throw error;
    }
  }

  async #ask(level: number, rows: readonly number[], fallback: Fallback | undefined): Promise<void> {
    let response: ModelResponse;
    try {
      response = await this.#infer(level, rows);
    } catch (error) {
      this.#missed(level, rows, fallback, InferenceError.from(error));
      return;
    }
    const { computeInputMs, computeInferMs, computeOutputMs } = response.timing;
    this.#timing.computeInputMs += computeInputMs;
    this.#timing.computeInferMs += computeInferMs;
    this.#timing.computeOutputMs += computeOutputMs;
    try {
      await this.#goOn(level, rows, response.outputs);
    } catch (error) {
      throw this.#end(InferenceError.from(error));
    }
  }

  /** Ends the request with a failure, if none has ended it before; returns the one that did. */
  #end(failure: InferenceError): InferenceError {
    this.#atLevels.cancel(failure);
    return this.#atLevels.reason ?? failure;
  }

  /** Asks a level, unless nobody waits for the answer any more; measures how long it takes. */
  async #infer(level: number, rows: readonly number[]): Promise<ModelResponse> {
    const gone = this.#atLevels.reason;
    if (gone !== undefined) throw gone;
    const { clock, serviceTimes } = this.#environment;
    const { model } = this.#level(level);
    const serviceTime = serviceTimes[level];
    const ticket = serviceTime?.begin(clock.now()) ?? 0;
    let computeMs: number | undefined;
    try {
      const response = await model.infer(this.#level(level).request(this.#request, rows), this.#atLevels);
      const { timing } = response;
      computeMs = timing.computeInputMs + timing.computeInferMs + timing.computeOutputMs;
      return response;
    } finally {
      serviceTime?.end(ticket, clock.now(), computeMs);
    }
  }

  /** Rows that a level did not answer: they keep the answer they have, if they may, else the request fails. */
  #missed(level: number, rows: readonly number[], fallback: Fallback | undefined, error: InferenceError): void {
    const { statistics, onLevelFailure } = this.#environment;
    if (this.#cancellation?.reason !== undefined) {
      statistics.cancelledRows[level] = (statistics.cancelledRows[level] ?? 0) + rows.length;
    } else if (this.#atLevels.reason === undefined) {
      statistics.escalations.level_failure += rows.length;
      if (onLevelFailure === "degrade" && fallback !== undefined && error.code !== "INVALID_ARGUMENT") {
        this.#degrade(rows, fallback);
        return;
      }
    }
    throw this.#end(error);
  }

  #degrade(rows: readonly number[], { level, answers, confidences, positions }: Fallback): void {
    this.degraded = true;
    this.#environment.statistics.degradedRows += rows.length;
    this.#accept(level, { rows: [...rows], positions: [...positions] }, answers, confidences);
  }

  /** Accepts rows of a level's response, and sends the others on. */
  async #goOn(level: number, rows: readonly number[], outputs: readonly Tensor[]): Promise<void> {
    const confidences = this.#level(level).confidences(outputs, rows.length);
    const groups = this.#group(level, rows, confidences);
    const accepted = groups[level] ?? { rows: [], positions: [] };
    const isAccepting = accepted.rows.length > 0 || rows.length === 0;
    const keepsFallback = this.#environment.onLevelFailure === "degrade" && accepted.rows.length < rows.length;
    const answers = isAccepting || keepsFallback ? this.#level(level).answers(outputs) : NO_ANSWERS;
    if (isAccepting) this.#accept(level, accepted, answers, confidences);
    const ways: Promise<void>[] = [];
    for (let next = level + 1; next < groups.length; next++) {
      const group = groups[next];
      if (group === undefined) continue;
      const fallback = keepsFallback ? { level, answers, confidences, positions: group.positions } : undefined;
      ways.push(this.#enter(next, group.rows, fallback));
    }
    if (ways.length > 0) await this.#allOf(ways);
  }

  /** The rows by the level they go to, the same level for those it answers; counts every row's way. */
  #group(level: number, rows: readonly number[], confidences: Float64Array | undefined): RowGroup[] {
    const { statistics } = this.#environment;
    const { gates, lastLevel, watch } = this.#plan;
    const gate = level < lastLevel ? gates[level] : undefined;
    const groups: RowGroup[] = [];
    const targets = gate === undefined ? undefined : this.#deadlineTargets(level);
    for (let i = 0; i < rows.length; i++) {
      const q = confidences?.[i] ?? Number.NaN;
      const wanted = gate === undefined ? level : route(q, gate, level, lastLevel);
      const destination = wanted === level ? level : (targets?.[wanted] ?? wanted);
      const bin = confidenceBin(q);
      statistics.recordRow(level, destination, bin);
      watch?.observeRow(level, wanted, bin);
      if (confidences !== undefined && Number.isNaN(q)) statistics.nonFiniteRows++;
      if (gate !== undefined && wanted !== level) {
        if (destination === level) this.#outOfTime();
        else statistics.escalations[destination === wanted ? reasonOf(q, gate, level, wanted) : "deadline"]++;
      }
      let group = groups[destination];
      if (group === undefined) {
        group = { rows: [], positions: [] };
        groups[destination] = group;
      }
      group.rows.push(rows[i] as number); // i is in range
      group.positions.push(i);
    }
    return groups;
  }

  /** Where rows that want a level go, given the time left; `level` itself: nowhere. undefined: time does not matter. */
  #deadlineTargets(level: number): readonly number[] | undefined {
    const { deadlineEscalation, serviceTimes, clock } = this.#environment;
    const deadlineMs = this.#cancellation?.deadlineMs ?? Number.POSITIVE_INFINITY;
    if (!deadlineEscalation || deadlineMs === Number.POSITIVE_INFINITY) return undefined;
    const { lastLevel } = this.#plan;
    const nowMs = clock.now();
    const lastMs = serviceTimes[lastLevel]?.latencyMs(nowMs) ?? 0;
    return serviceTimes.map((serviceTime, next) => {
      const way = deadlineRoute(deadlineMs - nowMs, serviceTime.latencyMs(nowMs), lastMs, next === lastLevel);
      return way === "next" ? next : way === "last" ? lastLevel : level;
    });
  }

  /** A row that no level left can answer in time keeps its answer, if it may. */
  #outOfTime(): void {
    const { onLevelFailure, statistics } = this.#environment;
    if (onLevelFailure === "fail") {
      throw new InferenceError(
        "DEADLINE_EXCEEDED",
        `${requestIdPrefix(this.#request.id)}no further level of cascade '${this.#request.modelName}' can answer ` +
          "before the deadline",
      );
    }
    statistics.degradedRows++;
    this.degraded = true;
  }

  #accept(
    level: number,
    { rows, positions }: RowGroup,
    answers: readonly Tensor[],
    confidences: Float64Array | undefined,
  ): void {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number; // i is in range
      this.levels[row] = level;
      this.confidences[row] = confidences?.[positions[i] ?? -1] ?? Number.NaN;
    }
    this.#outputs.add(rows, answers, positions);
  }

  #level(index: number): Level {
    return this.#environment.levels[index] as Level; // routes stay within the levels
  }
}

const NO_ANSWERS: readonly Tensor[] = [];

function reasonOf(q: number, gate: Gate, level: number, destination: number): EscalationReason {
  if (Number.isNaN(q)) return "nonfinite";
  if (gate.hopeless !== null && q < gate.hopeless.below) return "hopeless";
  return destination > level + 1 ? "skip" : "confidence";
}
