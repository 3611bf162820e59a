/** How calls to a remote fail: its status as our error, and what that says about the remote's health. Pure. */
import { status } from "@grpc/grpc-js";
import { type ErrorCode, InferenceError } from "../../proto/errors.ts";
import type { CallOutcome } from "./breaker.ts";

/** A failed call with what decides about it. */
export class RemoteCallError extends Error {
  /** `grpc.status`. */
  readonly status: number;
  readonly details: string;

  constructor(code: number, details: string) {
    super(`${status[code] ?? code}: ${details}`);
    this.status = code;
    this.details = details;
  }
}

/** gRPC statuses that ErrorCode lacks, as the nearest that tells a caller the same. */
const NEAREST: Readonly<Record<number, ErrorCode>> = {
  [status.CANCELLED]: "CANCELLED",
  [status.UNKNOWN]: "UNKNOWN",
  [status.INVALID_ARGUMENT]: "INVALID_ARGUMENT",
  [status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [status.NOT_FOUND]: "NOT_FOUND",
  [status.ALREADY_EXISTS]: "ALREADY_EXISTS",
  [status.PERMISSION_DENIED]: "FAILED_PRECONDITION",
  [status.RESOURCE_EXHAUSTED]: "RESOURCE_EXHAUSTED",
  [status.FAILED_PRECONDITION]: "FAILED_PRECONDITION",
  [status.ABORTED]: "UNAVAILABLE",
  [status.OUT_OF_RANGE]: "INVALID_ARGUMENT",
  [status.UNIMPLEMENTED]: "UNIMPLEMENTED",
  [status.INTERNAL]: "INTERNAL",
  [status.UNAVAILABLE]: "UNAVAILABLE",
  [status.DATA_LOSS]: "INTERNAL",
  [status.UNAUTHENTICATED]: "FAILED_PRECONDITION",
};

/** The remote's code and text behind its address, so that the reader knows whose error it is. */
export function toInferenceError(model: string, target: string, error: unknown): InferenceError {
  const prefix = `model '${model}' on remote '${target}': `;
  if (error instanceof RemoteCallError) {
    const code = NEAREST[error.status] ?? "UNKNOWN";
    const name = status[error.status] ?? `status ${error.status}`;
    const text = code === name ? error.details : `${name}: ${error.details}`;
    return new InferenceError(code, prefix + text, { cause: error });
  }
  const { code, message } = InferenceError.from(error);
  return new InferenceError(code, prefix + message, { cause: error });
}

const UNHEALTHY: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.INTERNAL, status.UNKNOWN, status.DATA_LOSS]);

const NO_ANSWER: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]);

/**
 * What a failed call says about the remote (reliability.md 4). A deadline that passed is a failure only where the
 * remote had at least `minDeadlineMs`; what is no status of the call is an answer that could not be understood.
 */
export function outcomeOf(error: unknown, givenMs: number, minDeadlineMs: number): CallOutcome {
  if (!(error instanceof RemoteCallError)) return "failure";
  if (error.status === status.DEADLINE_EXCEEDED) return givenMs >= minDeadlineMs ? "failure" : "neutral";
  return UNHEALTHY.has(error.status) ? "failure" : "neutral";
}

/** Whether a failed call brought no answer of the remote's own; some servers say UNAVAILABLE themselves. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof RemoteCallError && NO_ANSWER.has(error.status);
}
