/**
 * One request on its way through a cascade. Rows are routed one by one: as soon as a level has answered a row, the row
 * is done or waits at its next level together with rows of other requests; no row waits for its neighbours.
 */
import type { Gate } from "../../proto/files/cascade-file.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { Cancellation } from "../cancellation.ts";
import type { ExecutionTiming } from "../instance.ts";
import type { CascadeStatistics } from "./cascade-statistics.ts";
import type { Level } from "./level.ts";
import { route } from "./policy.ts";
import { RowOutputs } from "./row-outputs.ts";

/** What decides the way of a request's rows. */
export interface RunPlan {
  readonly levels: readonly Level[];
  /** One for every level but the last. */
  readonly gates: readonly Gate[];
  readonly entryLevel: number;
  /** Answers of this level are always accepted. */
  readonly lastLevel: number;
}

export class CascadeRun {
  readonly #plan: RunPlan;
  readonly #request: InferenceRequest;
  readonly #cancellation: Cancellation | undefined;
  readonly #statistics: CascadeStatistics;
  readonly #outputs: RowOutputs;
  /** Level that answered each row, and how sure it was. */
  readonly levels: Int32Array<ArrayBuffer>;
  readonly confidences: Float32Array<ArrayBuffer>;
  readonly #timing = { computeInputMs: 0, computeInferMs: 0, computeOutputMs: 0 };

  constructor(
    plan: RunPlan,
    request: InferenceRequest,
    rows: number,
    cancellation: Cancellation | undefined,
    statistics: CascadeStatistics,
  ) {
    this.#plan = plan;
    this.#request = request;
    this.#cancellation = cancellation;
    this.#statistics = statistics;
    this.#outputs = new RowOutputs(rows);
    this.levels = new Int32Array(rows);
    this.confidences = new Float32Array(rows);
  }

  /** Sums over the executions that this request took part in. */
  get timing(): ExecutionTiming {
    return this.#timing;
  }

  /** Routes every row to its answer; rejects with the first failure of a level. */
  async run(): Promise<readonly Tensor[]> {
    const rows = Array.from(this.levels, (_, row) => row);
    await this.#enter(this.#plan.entryLevel, rows);
    return this.#outputs.merge();
  }

  /** Sends rows to a level, no more at a time than it takes. An empty request is asked for its shapes. */
  async #enter(levelIndex: number, rows: readonly number[]): Promise<void> {
    const level = this.#level(levelIndex);
    if (rows.length <= level.maxRows) return this.#ask(levelIndex, rows);
    const parts: Promise<void>[] = [];
    for (let start = 0; start < rows.length; start += level.maxRows) {
      parts.push(this.#ask(levelIndex, rows.slice(start, start + level.maxRows)));
    }
    await Promise.all(parts);
  }

  async #ask(levelIndex: number, rows: readonly number[]): Promise<void> {
    const level = this.#level(levelIndex);
    const response = await level.model.infer(level.request(this.#request, rows), this.#cancellation);
    this.#timing.computeInputMs += response.timing.computeInputMs;
    this.#timing.computeInferMs += response.timing.computeInferMs;
    this.#timing.computeOutputMs += response.timing.computeOutputMs;
    const confidences = level.confidences(response.outputs, rows.length);
    const accepted: number[] = [];
    const escalated = new Map<number, number[]>();
    for (let i = 0; i < rows.length; i++) {
      const q = confidences?.[i] ?? Number.NaN;
      const destination = this.#destination(levelIndex, q);
      this.#statistics.recordRow(levelIndex, destination);
      if (confidences !== undefined && Number.isNaN(q)) this.#statistics.nonFiniteRows++;
      const row = rows[i] as number; // i is in range
      if (destination === levelIndex) {
        accepted.push(i);
        this.levels[row] = levelIndex;
        this.confidences[row] = q;
      } else {
        const others = escalated.get(destination);
        if (others === undefined) escalated.set(destination, [row]);
        else others.push(row);
      }
    }
    if (accepted.length > 0 || rows.length === 0) {
      this.#outputs.add(
        accepted.map((i) => rows[i] as number), // i is in range
        level.answers(response.outputs),
        accepted,
      );
    }
    if (escalated.size === 0) return;
    await Promise.all([...escalated].map(([destination, going]) => this.#enter(destination, going)));
  }

  #destination(level: number, q: number): number {
    const gate = this.#plan.gates[level];
    return gate === undefined || level >= this.#plan.lastLevel ? level : route(q, gate, level, this.#plan.lastLevel);
  }

  #level(index: number): Level {
    return this.#plan.levels[index] as Level; // routes stay within the levels
  }
}
