/** HiGHS as the planner's MilpSolver: in a worker thread, with progress, and stopped by ending the thread. */
import { Worker } from "node:worker_threads";
import type { MilpOptions, MilpProblem, MilpSolution, MilpSolver } from "../../planner/placement/milp.ts";
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type { SolveMessage, SolverProgress, SolverReply } from "./highs-protocol.ts";

const WORKER = new URL(`./highs-worker${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url);

export interface HighsSolverOptions {
  /** Of all solves together; what is solved afterwards hardly begins, and is marked as ended by time. Default: no limit. */
  readonly timeLimitMs?: number;
  readonly onProgress?: (progress: SolverProgress) => void;
  /** Ends a running solve at once; later solves fail with CANCELLED. */
  readonly signal?: AbortSignal;
}

/** Solves one problem after another; the thread starts with the first. `close` it when done. */
export class HighsSolver implements MilpSolver {
  readonly #options: HighsSolverOptions;
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #spentMs = 0;

  constructor(options: HighsSolverOptions = {}) {
    this.#options = options;
  }

  async solve(problem: MilpProblem, options: MilpOptions): Promise<MilpSolution> {
    const before = this.#last;
    const solved = before.then(() => this.#solveInTime(problem, options));
    this.#last = solved.catch(() => undefined);
    return solved;
  }

  /** Ends the thread, also while it solves. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async #solveInTime(problem: MilpProblem, options: MilpOptions): Promise<MilpSolution> {
    const leftMs = (this.#options.timeLimitMs ?? Number.POSITIVE_INFINITY) - this.#spentMs;
    const timeLimitMs = Math.min(options.timeLimitMs, Math.max(1, leftMs));
    const solution = await this.#solveNext({ problem, options: { ...options, timeLimitMs } });
    this.#spentMs += solution.solverMs;
    return solution;
  }

  #solveNext(message: SolveMessage): Promise<MilpSolution> {
    const { signal, onProgress } = this.#options;
    if (signal?.aborted === true) return Promise.reject(cancelled());
    this.#worker ??= new Worker(WORKER, { execArgv: [] });
    const worker = this.#worker;
    return new Promise<MilpSolution>((resolve, reject) => {
      const stop = () => {
        finish(() => reject(cancelled()));
        void this.close();
      };
      const onMessage = (reply: SolverReply) => {
        switch (reply.type) {
          case "progress":
            return onProgress?.(reply);
          case "solved":
            return finish(() => resolve(reply.solution));
          case "failed":
            return finish(() => reject(new InferenceError("INTERNAL", `HiGHS failed: ${reply.message}`)));
          default:
            return assertNever(reply);
        }
      };
      const onError = (reason: Error) => {
        this.#worker = undefined;
        finish(() => reject(new InferenceError("INTERNAL", `HiGHS failed: ${reason.message.slice(0, 300)}`)));
      };
      const onExit = () => {
        this.#worker = undefined;
        finish(() => reject(cancelled()));
      };
      const finish = (settle: () => void) => {
        worker.off("message", onMessage).off("error", onError).off("exit", onExit);
        signal?.removeEventListener("abort", stop);
        settle();
      };
      worker.on("message", onMessage).on("error", onError).on("exit", onExit);
      signal?.addEventListener("abort", stop, { once: true });
      worker.postMessage(message);
    });
  }
}

function cancelled(): InferenceError {
  return new InferenceError("CANCELLED", "the solver was stopped");
}
