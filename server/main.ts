/** Starts the server: loads the models, then opens the ports; stops it in the reverse order. The only place that wires. */
import { ModelRepository } from "../model-repo/repository.ts";
import type { IndexEntry, StartReport } from "../model-repo/repository-types.ts";
import { InferenceError } from "../proto/errors.ts";
import { type Clock, SystemClock } from "../scheduler/clock.ts";
import { certificateLines, modelTable, planLine, portLine, printable, readyLine } from "./banner.ts";
import { MachineMeter } from "./cpu-usage.ts";
import { GrpcServer } from "./grpc/grpc-server.ts";
import { reporter } from "./grpc/services.ts";
import { HttpServer, healthRoutes } from "./http-server.ts";
import { openLog, type ServerLog } from "./log.ts";
import { metricsRoute, processUsage } from "./metrics.ts";
import { operatingPointRoute } from "./operating-point.ts";
import type { Restrictions } from "./options/restriction.ts";
import type { HttpOptions, MetricsOptions, ServeOptions } from "./options/serve-options.ts";
import { openPlan } from "./plan/open-plan.ts";
import { ServedPlan } from "./plan/served-plan.ts";
import type { ServerHealth } from "./served-repository.ts";

/** What the server prints for people. */
export interface Output {
  stdout(text: string): void;
}

/** The ports that are open; undefined where a flag said no. */
export interface Ports {
  readonly grpc: number | undefined;
  readonly http: number | undefined;
  readonly metrics: number | undefined;
}

const NO_RESTRICTIONS: Restrictions = new Map();
/** Part of the exit timeout that calls in hand get; the rest is for the models' own runs. */
const DRAIN_SHARE = 0.8;

/** A server that answers. */
export class RunningServer {
  readonly ports: Ports;
  /** Every model and version as the start left it. */
  readonly models: readonly IndexEntry[];
  readonly log: ServerLog;
  readonly #state: ServerState;
  readonly #exitTimeoutMs: number;
  #stopped: Promise<void> | undefined;

  constructor(state: ServerState, models: readonly IndexEntry[], options: ServeOptions) {
    this.#state = state;
    this.#exitTimeoutMs = options.exitTimeoutMs;
    this.log = state.log;
    this.models = models;
    this.ports = { grpc: state.grpc?.port, http: state.http?.port, metrics: state.metrics?.port };
  }

  /**
   * Reads the plan again and loads the models whose placement changed, each new one before its old one goes. Rejects
   * where the plan does not fit or a model cannot be loaded by it: everything is as before then. Without a plan nothing
   * happens.
   */
  replan(): Promise<void> {
    return this.#state.replan();
  }

  /**
   * Turns readiness off, answers what is in hand, closes the models and then the ports for probes. Idempotent. Takes
   * about the exit timeout at most, unless a model's run lasts longer: nothing can stop one.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#state.stop(this.#exitTimeoutMs * DRAIN_SHARE);
    return this.#stopped;
  }
}

/**
 * Loads the repository and opens the ports. Rejects with an InferenceError of one line when the server cannot start;
 * nothing is left open then.
 */
export async function startServer(options: ServeOptions, output: Output): Promise<RunningServer> {
  const clock = new SystemClock();
  const startedMs = clock.now();
  const log = openLog(options.log);
  for (const warning of options.warnings) log.warn({}, warning);
  const plan = await openServedPlan(options, log);
  const { repository, report } = await startRepository(options, clock, log, plan);
  const state = new ServerState(repository, options, log, plan);
  const models = report.entries;
  try {
    output.stdout(modelTable(models));
    if (options.plan !== undefined) output.stdout(planLine(options.plan.file, plan?.current?.plan));
    output.stdout(certificateLines([...repository.loaded()]));
    state.acceptStart(report);
    await state.open(output);
  } catch (error) {
    await state.stop(0);
    throw error;
  }
  const seconds = (clock.now() - startedMs) / 1000;
  output.stdout(readyLine([...repository.loaded()].length, seconds));
  const server = new RunningServer(state, models, options);
  log.info({ seconds, ports: server.ports }, "server started");
  return server;
}

/** The repository with its models loaded; by the plan unless that fails at a model and there is a fallback. */
async function startRepository(
  options: ServeOptions,
  clock: Clock,
  log: ServerLog,
  plan: ServedPlan | undefined,
): Promise<{ readonly repository: ModelRepository; readonly report: StartReport }> {
  const { configName, ...rest } = options;
  const repository = new ModelRepository({
    ...rest,
    ...(configName === "" ? {} : { configName }),
    ...(plan === undefined ? {} : { placements: plan }),
    clock,
    log,
  });
  const report = await repository.start();
  if (plan?.leaveOutAfter(report.failures) === true) {
    await repository.close();
    return startRepository(options, clock, log, plan);
  }
  plan?.attach((names) => repository.reload(names));
  return { repository, report };
}

/** Rejects with what keeps the plan from being served, and nothing is open then. */
async function openServedPlan(options: ServeOptions, log: ServerLog): Promise<ServedPlan | undefined> {
  if (options.plan === undefined) return undefined;
  const { file, fallback } = options.plan;
  try {
    return await ServedPlan.start({ file, fallback, open: () => openPlan(file, options.repositories), log });
  } catch (error) {
    log.close();
    throw error;
  }
}

/** The parts of a server on their way up or down, and its health. */
class ServerState implements ServerHealth {
  readonly log: ServerLog;
  grpc: GrpcServer | undefined;
  http: HttpServer | undefined;
  metrics: HttpServer | undefined;
  readonly #repository: ModelRepository;
  readonly #options: ServeOptions;
  readonly #plan: ServedPlan | undefined;
  #isUsable = true;
  #isStopping = false;

  constructor(repository: ModelRepository, options: ServeOptions, log: ServerLog, plan: ServedPlan | undefined) {
    this.#repository = repository;
    this.#plan = plan;
    this.#options = options;
    this.log = log;
  }

  isLive(): boolean {
    return this.#isUsable;
  }

  isReady(): boolean {
    return this.#isUsable && !this.#isStopping && this.#repository.isReady(this.#options.strictReadiness);
  }

  /** Triton's rule: a failure stops the start, or with `--exit-on-error=false` leaves what failed unavailable. */
  acceptStart(report: StartReport): void {
    this.#isUsable = report.repositoryError === undefined;
    if (this.#options.exitOnError) {
      if (report.repositoryError !== undefined) throw report.repositoryError;
      const [failure, ...others] = report.failures;
      if (failure === undefined) return;
      const more = others.length === 0 ? "" : ` and ${others.length} more`;
      throw new InferenceError(
        "INTERNAL",
        `creating server: Internal - failed to load all models (${failure.name}: ${printable(failure.reason)}${more}); mend them, ` +
          "or start with --exit-on-error=false to serve the others",
      );
    }
    if (report.repositoryError !== undefined) this.log.error({}, report.repositoryError.message);
  }

  async open(output: Output): Promise<void> {
    const { grpc, http, metrics, id, allowClientSharedMemory } = this.#options;
    if (grpc !== undefined) {
      const context = { id, repository: this.#repository, health: this, allowClientSharedMemory, log: this.log };
      this.grpc = await GrpcServer.start(grpc, context);
      output.stdout(portLine("GRPCInferenceService", grpc.host, this.grpc.port));
    }
    if (http !== undefined) {
      this.http = await this.#openHttp(http);
      output.stdout(portLine("HTTPService", http.host, this.http.port));
    }
    if (metrics !== undefined) {
      this.metrics = await this.#openMetrics(metrics);
      output.stdout(portLine("Metrics Service", metrics.host, this.metrics.port));
    }
  }

  /** See `RunningServer.replan`. */
  async replan(): Promise<void> {
    if (!this.#isStopping) await this.#plan?.replan();
  }

  async stop(drainMs: number): Promise<void> {
    this.#isStopping = true;
    await this.grpc?.drain(drainMs);
    await this.#repository.close();
    await Promise.all([this.http?.close(), this.metrics?.close()]);
    this.log.close();
  }

  #openHttp(http: HttpOptions): Promise<HttpServer> {
    const name = { what: "HTTP", portFlag: "--http-port", addressFlag: "--http-address" };
    const routes = [...healthRoutes(this), operatingPointRoute(this.#repository, this.log)];
    return HttpServer.start(http, name, routes, http.restrictions, reporter(this.log));
  }

  #openMetrics(metrics: MetricsOptions): Promise<HttpServer> {
    const name = { what: "metrics", portFlag: "--metrics-port", addressFlag: "--metrics-address" };
    const meter = metrics.cpu ? new MachineMeter(metrics.intervalMs) : undefined;
    const route = metricsRoute(async () => ({
      models: [...this.#repository.loaded()],
      machine: await meter?.read(performance.now()),
      process: processUsage(),
      ...(this.#plan === undefined ? {} : { planState: this.#plan.state }),
    }));
    return HttpServer.start(metrics, name, [route], NO_RESTRICTIONS, reporter(this.log));
  }
}
