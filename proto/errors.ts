/**
 * The one error type of the project. `code` is the gRPC status name; `message` is what the client reads, where Triton
 * has a text for the case, exactly Triton's.
 */

/** gRPC status names that the server uses; `grpc.status[code]` is the number. */
export type ErrorCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE";

/** A failure with a status code and a text that its reader can act on. */
export class InferenceError extends Error {
  override readonly name = "InferenceError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Any caught value as an InferenceError; what is not one already becomes INTERNAL and keeps its cause. */
  static from(reason: unknown): InferenceError {
    if (reason instanceof InferenceError) return reason;
    const message = reason instanceof Error ? reason.message : String(reason);
    return new InferenceError("INTERNAL", message, { cause: reason });
  }
}

/** Marks the unreachable end of an exhaustive switch. */
export function assertNever(value: never): never {
  throw new InferenceError("INTERNAL", `unexpected value: ${JSON.stringify(value)}`);
}
