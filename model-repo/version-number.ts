/** The model version of a request: text on the wire, an integer inside. */
import { InferenceError } from "../proto/errors.ts";

/**
 * Reads a `model_version` as Triton does (C's stol: leading space and trailing text are ignored); undefined for "",
 * which lets the server choose. Throws INVALID_ARGUMENT with Triton's texts (server/src/common.cc:59,68).
 */
export function parseVersion(text: string): number | undefined {
  if (text === "") return undefined;
  const digits = /^\s*([+-]?\d+)/.exec(text)?.[1];
  const version = digits === undefined ? undefined : BigInt(digits);
  if (version === undefined || BigInt.asIntN(64, version) !== version) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `failed to get model version from specified version string '${text}' (details: stol), version should be an ` +
        "integral value > 0",
    );
  }
  if (version < 0n) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `invalid model version specified '${text}' , version should be an integral value > 0`,
    );
  }
  return Number(version);
}
