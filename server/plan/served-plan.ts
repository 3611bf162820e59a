/** The plan that the server runs by: read at the start, read again on a signal or a load, the old one kept if it fails. */
import type { Log } from "../../model-repo/log.ts";
import type { CascadePlacement, ModelPlacement, PlacementSource } from "../../model-repo/plan/placement.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { PlanPlacements } from "./plan-placements.ts";
import { PlanError } from "./plan-problem.ts";

/** Value of the gauge `hybridserve_placement_plan_state`: ok; refused, the one before serves; none, as --plan-fallback. */
export const PLAN_STATES = ["ok", "stale", "invalid", "default"] as const;
export type PlanState = (typeof PLAN_STATES)[number];

export interface ServedPlanOptions {
  /** `--plan`. */
  readonly file: string;
  /** `--plan-fallback`: a plan that does not fit at the start is left out instead of ending the start. */
  readonly fallback: boolean;
  readonly open: () => Promise<PlanPlacements>;
  readonly log: Log;
}

export class ServedPlan implements PlacementSource {
  readonly #options: ServedPlanOptions;
  #current: PlanPlacements | undefined;
  #state: PlanState = "default";

  private constructor(options: ServedPlanOptions) {
    this.#options = options;
  }

  /** Rejects with the PlanError of a plan that does not fit, unless there is a fallback. */
  static async start(options: ServedPlanOptions): Promise<ServedPlan> {
    const plan = new ServedPlan(options);
    try {
      plan.#current = await options.open();
      plan.#state = "ok";
    } catch (error) {
      if (!options.fallback) throw error;
      const { message } = InferenceError.from(error);
      options.log.error({ plan: options.file }, `${message}; serving without a plan, as --plan-fallback asks`);
    }
    return plan;
  }

  get state(): PlanState {
    return this.#state;
  }

  /** What it reads and predicts, for the banner; undefined without a plan. */
  get current(): PlanPlacements | undefined {
    return this.#current;
  }

  placementOf(model: string, version: string): ModelPlacement | undefined {
    return this.#current?.placementOf(model, version);
  }

  cascadePlacementOf(model: string): CascadePlacement | undefined {
    return this.#current?.cascadePlacementOf(model);
  }

  /** A client's load of a planned model takes the plan that is on disk by then. */
  async refresh(model: string): Promise<void> {
    if (this.#current?.names.has(model) === true) await this.reread();
  }

  /**
   * Reads the file again. Resolves with the models that either plan names, to be loaded anew; rejects with the PlanError,
   * and the plan in use stays.
   */
  async reread(): Promise<ReadonlySet<string>> {
    const { open, log, file } = this.#options;
    const before = this.#current?.names ?? [];
    try {
      this.#current = await open();
      this.#state = "ok";
    } catch (error) {
      const isStale = error instanceof PlanError && error.planCode.startsWith("PLAN_STALE");
      this.#state = this.#current === undefined ? "default" : isStale ? "stale" : "invalid";
      log.error({ plan: file }, `${InferenceError.from(error).message}; the plan in use stays`);
      throw error;
    }
    log.info({ plan: file }, "the plan was read again");
    return new Set([...before, ...this.#current.names]);
  }
}
