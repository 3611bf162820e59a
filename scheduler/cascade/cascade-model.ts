/** A confidence cascade: a model made of models, smallest first. */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, OperatingPoint } from "../../proto/files/cascade-file.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import { requestIdPrefix } from "../../proto/inference.ts";
import type { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { Model, ModelResponse } from "../model.ts";
import type { ModelSignature } from "../signature.ts";
import { ModelStatistics } from "../statistics.ts";
import { validateRequest } from "../validate-request.ts";
import { answerOutputs } from "./answers.ts";
import { ArrivalRate } from "./arrival-rate.ts";
import { CascadeRun, type OnLevelFailure, type RunEnvironment, type RunPlan } from "./cascade-run.ts";
import { CascadeStatistics } from "./cascade-statistics.ts";
import { type OnDrift, PointController } from "./controller.ts";
import { DEFAULT_ROWS_TO_FALSE_ALARM, type DriftAlarm, type DriftState, DriftWatch } from "./drift.ts";
import { type GearTable, NO_GEARS } from "./gears.ts";
import { CONFIDENCE_OUTPUT, LEVEL_OUTPUT, Level } from "./level.ts";
import { checkOwnOutputs, selectOutputs } from "./own-outputs.ts";
import { entryLevel, lastLevelOnlyPoint } from "./policy.ts";
import { policyKey } from "./policy-key.ts";
import { levelBounds, requestedPoint, responseParameters } from "./request-parameters.ts";
import { ServiceTime } from "./service-time.ts";
import { Shadows } from "./shadow.ts";

export interface CascadeOptions {
  readonly signature: ModelSignature;
  readonly file: CascadeFile;
  /** The loaded model of each level of the file. */
  readonly models: readonly Model[];
  /** The operating point of requests that name none. */
  readonly operatingPoint: string;
  /** Points that a request may name. */
  readonly selectablePoints: ReadonlySet<string>;
  readonly clock: Clock;
  /** `fail` unless given. */
  readonly onLevelFailure?: OnLevelFailure;
  /** Off unless given. */
  readonly deadlineEscalation?: boolean;
  /** Cheaper points under load; none unless given. */
  readonly gears?: GearTable;
  /** Share of rows that the last level checks, 0 unless given; and what the choice of rows starts from. */
  readonly shadowShare?: number;
  readonly shadowSeed?: number;
  /** `last_level` unless given. */
  readonly onDrift?: OnDrift;
  /** Mean number of shadowed rows to a false alarm; 100,000 unless given. */
  readonly rowsToFalseAlarm?: number;
  /** Called once, when drift is first noticed: from then on every certificate is void. */
  readonly onDriftAlarm?: (alarm: DriftAlarm) => void;
}

export class CascadeModel implements Model {
  readonly signature: ModelSignature;
  readonly statistics = new ModelStatistics();
  readonly cascadeStatistics: CascadeStatistics;
  readonly #environment: RunEnvironment;
  /** For requests that are in no statistics. */
  readonly #uncounted: RunEnvironment;
  readonly #controller: PointController;
  #arrivals: ArrivalRate;
  readonly #watch: DriftWatch;
  readonly #shadows: Shadows;
  readonly #onDriftAlarm: ((alarm: DriftAlarm) => void) | undefined;
  readonly #clock: Clock;
  /** What took this model's place: hears of an alarm that the requests in hand raise late. */
  #successor: CascadeModel | undefined;
  #running = 0;
  #closed = false;
  #onDrained: (() => void) | undefined;

  /** Wires the levels; throws INVALID_ARGUMENT where one does not fit the cascade's signature, or an option the file. */
  constructor(options: CascadeOptions) {
    const { signature, file, clock } = options;
    const where = `cascade '${signature.name}'`;
    this.signature = signature;
    this.#clock = clock;
    this.#onDriftAlarm = options.onDriftAlarm;
    checkOwnOutputs(signature);
    const levels = file.levels.map((level, k) => {
      const model = options.models[k] as Model; // one model a level
      return new Level(level, model, signature, `${where}, level ${k} ('${level.model}')`);
    });
    this.cascadeStatistics = new CascadeStatistics(file.levels);
    this.#environment = {
      levels,
      serviceTimes: levels.map(() => new ServiceTime()),
      statistics: this.cascadeStatistics,
      clock,
      onLevelFailure: options.onLevelFailure ?? "fail",
      deadlineEscalation: options.deadlineEscalation ?? false,
    };
    this.#uncounted = { ...this.#environment, statistics: new CascadeStatistics(file.levels) };
    this.#controller = new PointController({
      where,
      points: file.operatingPoints,
      selectable: options.selectablePoints,
      operatingPoint: options.operatingPoint,
      lastLevelOnly: lastLevelOnlyPoint(levels.length),
      onDrift: options.onDrift ?? "last_level",
      gears: options.gears ?? NO_GEARS,
    });
    this.#arrivals = new ArrivalRate(clock.now());
    this.#watch = new DriftWatch({
      levels: levels.length,
      policy: policyKey(file),
      point: this.#controller.operatingPoint,
      rowsToFalseAlarm: options.rowsToFalseAlarm ?? DEFAULT_ROWS_TO_FALSE_ALARM,
    });
    this.#shadows = this.#shadowsOf(options, levels);
  }

  /** Name of the point of requests that name none, while neither drift nor load changes it. */
  get operatingPoint(): string {
    return this.#controller.operatingPoint.name;
  }

  /** Switches the point at run time; throws INVALID_ARGUMENT where there is none of this name or it may not be chosen. */
  setOperatingPoint(name: string): void {
    this.#controller.setOperatingPoint(name);
    this.#watch.watch(this.#controller.operatingPoint);
  }

  /** The load gear in use: 0 for none, i for the i-th threshold. */
  get gear(): number {
    return this.#controller.gear;
  }

  /** Requests a second of late; probes are not counted. */
  get arrivalsPerSecond(): number {
    return this.#arrivals.perSecond(this.#clock.now());
  }

  /** null while no drift was noticed; else every certificate of the cascade is void. */
  get driftAlarm(): DriftAlarm | null {
    return this.#watch.alarm;
  }

  /** Evidence against the certified disagreement, and the bound it is tested against (undefined: none certified). */
  get driftEvidence(): { readonly eValue: number; readonly bound: number | undefined } {
    return { eValue: this.#watch.eValue, bound: this.#watch.bound };
  }

  /** What was noticed so far. */
  get driftState(): DriftState {
    return this.#watch.state;
  }

  /** Goes on with what an earlier model noticed, where it was of the same policy. */
  resumeDrift(state: DriftState): void {
    this.#watch.resume(state);
  }

  /**
   * Goes on with the drift watch and the arrival rate of the model whose place it takes: call it once new requests come
   * here, so that nothing is missed. What the requests still in hand there notice is heard here, too.
   */
  succeed(before: CascadeModel): void {
    this.resumeDrift(before.driftState);
    this.#arrivals = before.#arrivals;
    before.#handOver(this);
  }

  #handOver(successor: CascadeModel): void {
    this.#successor = successor;
  }

  async infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    const startedMs = this.#clock.now();
    this.#running++;
    this.statistics.pendingRequestCount++;
    try {
      return await this.#cascade(request, cancellation, startedMs);
    } catch (error) {
      const failure = InferenceError.from(error);
      const reason = cancellation?.reason === failure ? "CANCELED" : "OTHER";
      if (request.isProbe !== true) this.statistics.recordFailure(reason, this.#clock.now() - startedMs);
      throw failure;
    } finally {
      this.statistics.pendingRequestCount--;
      this.#running--;
      this.#shadows.pump();
      if (this.#running === 0) this.#onDrained?.();
    }
  }

  /** Waits for the requests in hand, not for shadows; the levels are models of their own and stay. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#shadows.close();
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
  }

  async #cascade(
    request: InferenceRequest,
    cancellation: Cancellation | undefined,
    startedMs: number,
  ): Promise<ModelResponse> {
    if (this.#closed) {
      throw new InferenceError(
        "UNAVAILABLE",
        `${requestIdPrefix(request.id)}Server is stopping, scheduler for model has stopped accepting new inference ` +
          "requests",
      );
    }
    const rows = validateRequest(this.signature, request);
    const point = this.#choosePoint(request, startedMs);
    const plan = this.#plan(request, point);
    const environment = request.isProbe === true ? this.#uncounted : this.#environment;
    const run = new CascadeRun(environment, plan, request, rows, cancellation);
    const startedEpochMs = this.#clock.epochMs();
    const outputs = await run.run();
    if (plan.watch !== undefined) this.#watchRun(request, point, run, outputs);
    const response: ModelResponse = {
      modelName: this.signature.name,
      modelVersion: this.signature.version,
      id: request.id,
      parameters: responseParameters(point, run.levels, this.#environment.levels.length, run.degraded),
      outputs: selectOutputs(this.signature, request, outputs, run),
      timing: run.timing,
    };
    if (request.isProbe === true) return response;
    this.statistics.recordExecution(rows, run.timing, startedEpochMs);
    this.statistics.recordSuccess(rows, this.#clock.now() - startedMs, 0, run.timing);
    return response;
  }

  #choosePoint(request: InferenceRequest, nowMs: number): OperatingPoint {
    const requested = requestedPoint(request, this.#controller);
    if (request.isProbe !== true) this.#arrivals.observe(nowMs);
    const queueDelayMs = this.#environment.serviceTimes.at(-1)?.queueDelayMs(nowMs) ?? 0;
    const arrivalsPerSecond = this.#arrivals.perSecond(nowMs);
    const drifted = this.#watch.alarm !== null;
    return this.#controller.choose({ requested, drifted, queueDelayMs, arrivalsPerSecond }, nowMs).point;
  }

  /** Drift is looked for where a request goes the watched point's own way, whoever chose it; the last level has none. */
  #plan(request: InferenceRequest, point: OperatingPoint): RunPlan {
    const last = this.#environment.levels.length - 1;
    const { min, max } = levelBounds(request, last);
    const entry = entryLevel(point.gates);
    const isOwnWay = point === this.#controller.operatingPoint && min === 0 && max === last && entry < last;
    const isWatched = isOwnWay && request.isProbe !== true;
    return {
      gates: point.gates,
      entryLevel: Math.min(max, Math.max(min, entry)),
      lastLevel: max,
      watch: isWatched ? this.#watch : undefined,
    };
  }

  /** Shadows that come back after the point was switched say nothing about the new one. */
  #watchRun(
    request: InferenceRequest,
    point: OperatingPoint,
    run: CascadeRun,
    outputs: ModelResponse["outputs"],
  ): void {
    if (!run.degraded) {
      this.#shadows.offer(request, outputs, run.levels, (disagrees) => {
        if (point !== this.#controller.operatingPoint) return;
        this.#report(this.#watch.observeShadow(disagrees, this.#clock.epochMs()));
      });
    }
    this.#report(this.#watch.endWindow(this.#clock.epochMs()));
  }

  #shadowsOf(options: CascadeOptions, levels: readonly Level[]): Shadows {
    const outputs = this.signature.outputs.filter(({ name }) => name !== LEVEL_OUTPUT && name !== CONFIDENCE_OUTPUT);
    return new Shadows({
      share: options.shadowShare ?? 0,
      seed: options.shadowSeed ?? 1,
      lastLevel: levels.at(-1) as Level, // a cascade has levels
      lastLevelIndex: levels.length - 1,
      answers: answerOutputs(options.file, outputs),
      statistics: this.cascadeStatistics,
    });
  }

  #report(alarm: DriftAlarm | undefined): void {
    if (alarm === undefined) return;
    this.#onDriftAlarm?.(alarm);
    const policy = this.#watch.state.policy;
    for (let next = this.#successor; next !== undefined; next = next.#successor) next.#watch.adopt(alarm, policy);
  }
}
