/** Messages between the bench and its load generator process. One command is in hand at a time. */

/** gRPC method that every workload calls. */
export const MODEL_INFER_PATH = "/inference.GRPCInferenceService/ModelInfer";

export type LoadCommand =
  /** Opens connections to 127.0.0.1:port; `subject` names them from then on. */
  | { readonly kind: "connect"; readonly subject: string; readonly port: number; readonly connections: number }
  /** Hands over the encoded ModelInferRequests of a workload; they are sent in turn, over and over. */
  | { readonly kind: "payload"; readonly workload: string; readonly messages: readonly Uint8Array[] }
  /** Sends one message and returns its answer. */
  | { readonly kind: "once"; readonly subject: string; readonly workload: string; readonly index: number }
  /** Sends every message once, `concurrency` in flight, and returns all answers in the order of the messages. */
  | { readonly kind: "each"; readonly subject: string; readonly workload: string; readonly concurrency: number }
  | ({ readonly kind: "measure" } & LoadPlan);

/** One measurement. Closed loop: `concurrency` requests in flight, each answered one followed by the next. */
export interface LoadPlan {
  readonly subject: string;
  readonly workload: string;
  readonly concurrency: number;
  /** Open loop instead: requests start at this mean rate at random times, and latency counts from those times. */
  readonly ratePerSecond?: number;
  /** Load before the measured window opens. */
  readonly warmupMs: number;
  readonly measureMs: number;
  /** The window closes early at this number of answers. */
  readonly maxRequests: number;
  /** Processes whose CPU time is read when the window opens and closes. */
  readonly serverPids: readonly number[];
}

export type LoadReply =
  | { readonly kind: "done" }
  | { readonly kind: "answer"; readonly status: string; readonly text: string; readonly message: Uint8Array }
  | { readonly kind: "answers"; readonly messages: readonly Uint8Array[] }
  | { readonly kind: "measured"; readonly result: LoadResult }
  | { readonly kind: "failed"; readonly text: string };

/** What one measured window held. */
export interface LoadResult {
  readonly seconds: number;
  /** Answers with grpc-status 0. */
  readonly answered: number;
  /** "status: text" of every other answer, with how often it came; also those outside the window. */
  readonly failures: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** CPU of the server's processes within the window; undefined where there is no /proc. */
  readonly serverCpuSeconds: number | undefined;
  readonly clientCpuSeconds: number;
  /** Cores kept busy by everything else on the machine, and cores the host took away. */
  readonly otherCores: number | undefined;
  readonly stealCores: number | undefined;
}
