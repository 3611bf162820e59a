/** The one way from an error to a gRPC status: every text that a client reads passes here. */
import { status } from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";

/** What grpc-js sends as the end of a call. */
export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

/** Clients limit a call's headers to 8 KiB or so; the text travels percent-encoded in one of them. */
const MAX_ENCODED_BYTES = 6_144;
/** No UTF-16 unit takes more than nine characters percent-encoded. */
const MAX_ENCODED_PER_UNIT = 9;

/** The status of a failed call: the error's own code, its text well-formed and short enough for a header. */
export function grpcError(reason: unknown): GrpcStatus {
  const error = InferenceError.from(reason);
  return { code: status[error.code], details: headerText(error.message) };
}

/**
 * grpc-js percent-encodes the text and dies of a lone surrogate while doing so, so there must be none, and the cut
 * falls between code points.
 */
function headerText(message: string): string {
  const text = message.toWellFormed();
  if (text.length * MAX_ENCODED_PER_UNIT <= MAX_ENCODED_BYTES) return text;
  let encoded = 0;
  let end = 0;
  for (const character of text) {
    encoded += encodeURI(character).length;
    if (encoded > MAX_ENCODED_BYTES) return `${text.slice(0, end)}…`;
    end += character.length;
  }
  return text;
}
