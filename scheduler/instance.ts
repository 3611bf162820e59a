/** Where a batch runs: the contract between the schedulers and everything that executes a model. */
import type { InferenceError } from "../proto/errors.ts";
import type { InferenceRequest } from "../proto/inference.ts";
import type { Tensor } from "../proto/tensor.ts";
import type { Cancellation } from "./cancellation.ts";

/** Where the time of one execution went, in milliseconds (Triton's compute_input, compute_infer, compute_output). */
export interface ExecutionTiming {
  readonly computeInputMs: number;
  readonly computeInferMs: number;
  readonly computeOutputMs: number;
}

export interface ExecutedBatch {
  /** Outputs of each request, in the order of the requests; at least those the request asked for. */
  readonly outputs: readonly (readonly Tensor[])[];
  readonly timing: ExecutionTiming;
}

/** Why an instance takes no batches for now. */
export interface Outage {
  /** It ended too often: its next start is far away. Otherwise it is back soon, and batches wait for it. */
  readonly isDown: boolean;
  readonly reason: InferenceError;
}

/** One instance as metrics see it; counters since it was loaded. */
export interface InstanceReport {
  readonly name: string;
  readonly isolation: "thread" | "process";
  /** `cpu` or `cuda:N`. */
  readonly device: string;
  readonly state: "ready" | "restarting" | "down";
  /** How often it ended without being asked to, hangs and failed starts included. */
  readonly crashes: number;
  /** Runs that took too long and were stopped. */
  readonly hangs: number;
  /** How often a new one took its place. */
  readonly restarts: number;
  /** Of a child process that is alive. */
  readonly pid?: number | undefined;
}

/**
 * Executes one batch at a time somewhere: in this thread, a worker thread, a child process, on a remote server, in
 * simulated time. The requests of a batch are validated and agree in every dimension but the first.
 */
export interface ModelInstance {
  /** As Triton names instances: `<group>_<index>`, for logs and errors. */
  readonly name: string;
  /**
   * Runs the batch; rejects with an InferenceError that fails every request of it. The request tensors stay the
   * caller's: an instance copies what it hands to another thread. `cancellation` fires once nobody waits for any request
   * of the batch; its deadline is the latest of theirs. An instance may run on all the same. An instance that can take
   * the next batch before this one's answer is there calls `onFree`, once.
   */
  execute(
    requests: readonly InferenceRequest[],
    cancellation?: Cancellation,
    onFree?: () => void,
  ): Promise<ExecutedBatch>;
  /** Waits for the run in flight, then frees everything. Idempotent. */
  close(): Promise<void>;
  /** Set while the instance takes no batches; absent on instances that cannot be lost. */
  readonly outage?: Outage | undefined;
  /** The one who sends batches is told whenever `outage` changes. */
  onOutageChange?(callback: () => void): void;
  readonly report?: InstanceReport;
  /** Of the instances that it hands its batches to; in place of `report`. */
  readonly reports?: readonly InstanceReport[];
}
