/** The plan that the server runs by: read at the start, read again on a signal or a load, the old one kept if it fails. */
import type { Log } from "../../model-repo/log.ts";
import type { CascadePlacement, ModelPlacement, PlacementSource } from "../../model-repo/plan/placement.ts";
import type { LoadFailure } from "../../model-repo/repository-types.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { PlanPlacements } from "./plan-placements.ts";

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

/** Loads these models anew by the plan in force; resolves with those that could not be and are as they were. */
export type LoadAgain = (models: ReadonlySet<string>) => Promise<readonly LoadFailure[]>;

export class ServedPlan implements PlacementSource {
  readonly #options: ServedPlanOptions;
  #current: PlanPlacements | undefined;
  #state: PlanState = "default";
  #loadAgain: LoadAgain = async () => [];
  #replanning: Promise<void> = Promise.resolve();

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

  /** The plan in force; undefined: it is left out. */
  get current(): PlanPlacements | undefined {
    return this.#current;
  }

  placementOf(model: string, version: string): ModelPlacement | undefined {
    return this.#current?.placementOf(model, version);
  }

  cascadePlacementOf(model: string): CascadePlacement | undefined {
    return this.#current?.cascadePlacementOf(model);
  }

  /** How models are loaded anew when the plan is replaced. */
  attach(loadAgain: LoadAgain): void {
    this.#loadAgain = loadAgain;
  }

  /** With a fallback, and a planned model among those that did not load at the start: the plan is left out from then on. */
  leaveOutAfter(failures: readonly LoadFailure[]): boolean {
    const { fallback, log, file } = this.#options;
    const failure = failures.find(({ name }) => this.#current?.names.has(name));
    if (!fallback || failure === undefined) return false;
    this.#current = undefined;
    this.#state = "default";
    const reason = `model '${failure.name}' does not load as planned: ${failure.reason.trimEnd()}`;
    log.error({ plan: file }, `${reason}; serving without a plan, as --plan-fallback asks`);
    return true;
  }

  /** A client's load of a planned model takes the plan that is on disk by then. */
  async refresh(model: string): Promise<void> {
    if (this.#current?.names.has(model) === true) await this.replan();
  }

  /**
   * Reads the file again and loads the models that either plan names, each new one before its old one goes. All or nothing:
   * where the plan does not fit or a model does not load, the plan before is in force again. Rejects with the reason, which
   * is also logged. One after the other.
   */
  replan(): Promise<void> {
    const replanned = this.#replanning.then(() => this.#replan());
    this.#replanning = replanned.catch(() => undefined); // whoever asked hears of it
    return replanned;
  }

  async #replan(): Promise<void> {
    const { open, log, file } = this.#options;
    const before = this.#current;
    try {
      this.#current = await open();
      const names = new Set([...(before?.names ?? []), ...this.#current.names]);
      const [failure] = await this.#loadAgain(names);
      if (failure !== undefined) {
        this.#current = before;
        await this.#loadAgain(names);
        const reason = failure.reason.trimEnd();
        throw new InferenceError("UNAVAILABLE", `model '${failure.name}' does not load as planned: ${reason}`);
      }
    } catch (error) {
      this.#current = before;
      const { message } = InferenceError.from(error);
      this.#state = before === undefined ? "default" : /\bPLAN_STALE_/.test(message) ? "stale" : "invalid";
      log.error({ plan: file }, `${message}; the plan in use stays`);
      throw error;
    }
    this.#state = "ok";
    log.info({ plan: file }, "the plan was read again and is in use");
  }
}
