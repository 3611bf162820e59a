/** Messages between bench/simulate.ts and its client process, which plays recorded arrivals. */

export interface ReplayCommand {
  readonly kind: "replay";
  readonly port: number;
  /** Encoded ModelInferRequests; request i sends message i modulo their number. */
  readonly messages: readonly Uint8Array[];
  /** When each request is due, from the start on; all 0 with `mostInFlight`: a closed loop. */
  readonly arrivalsMs: Float64Array;
  /** Requests wait in the client while so many are in flight. */
  readonly mostInFlight: number;
  readonly keepsAnswers: boolean;
}

export type ReplayReply =
  | {
      readonly kind: "replayed";
      /** When each request was really sent, and how long its answer took from then. */
      readonly sentMs: Float64Array;
      readonly latenciesMs: Float64Array;
      /** In the order of the requests; empty unless asked for. */
      readonly answers: readonly Uint8Array[];
    }
  | { readonly kind: "failed"; readonly text: string };
