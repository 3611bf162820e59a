/** Messages between the bench and the bare onnxruntime process. One command is in hand at a time. */

export type ComputeCommand =
  /** Opens a model; `data` holds `rows` real inputs, first dimension first, which the runs take in turn. */
  | {
      readonly kind: "load";
      readonly model: string;
      readonly file: string;
      readonly data: Uint8Array;
      readonly shape: readonly number[];
    }
  /** Runs batches of `batch` rows for about `ms` milliseconds. */
  | { readonly kind: "run"; readonly model: string; readonly batch: number; readonly ms: number }
  /** Runs all rows once and returns the first output. */
  | { readonly kind: "answers"; readonly model: string };

export type ComputeReply =
  | { readonly kind: "done" }
  | { readonly kind: "ran"; readonly cpuUsPerRow: number; readonly rowsPerSecond: number }
  | { readonly kind: "answers"; readonly data: Uint8Array; readonly shape: readonly number[] }
  | { readonly kind: "failed"; readonly text: string };
