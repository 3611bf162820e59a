/** `--grpc-restricted-protocol` and `--http-restricted-api`: which calls need which header. */
import { InferenceError } from "../../proto/errors.ts";
import { didYouMean } from "../../proto/suggest.ts";

/** The classes of calls that can be restricted, by Triton's names. */
export const PROTOCOLS = [
  "health",
  "metadata",
  "inference",
  "shared-memory",
  "model-config",
  "model-repository",
  "statistics",
  "trace",
  "logging",
] as const;

export type Protocol = (typeof PROTOCOLS)[number];

/** The header that must come with a restricted call. */
export interface RequiredHeader {
  readonly key: string;
  readonly value: string;
}

export type Restrictions = ReadonlyMap<Protocol, RequiredHeader>;

/** Parses every `PROTOCOL,...:KEY=VALUE` of one flag; throws INVALID_ARGUMENT with Triton's texts. */
export function parseRestrictions(flag: string, values: readonly string[]): Restrictions {
  const restrictions = new Map<Protocol, RequiredHeader>();
  for (const value of values) {
    const colon = value.indexOf(":");
    const equals = value.indexOf("=", colon + 1);
    const key = value.slice(colon + 1, equals).trim();
    const secret = value.slice(equals + 1).trim();
    if (colon < 1 || equals < 0 || key === "" || secret === "") {
      throw new InferenceError("INVALID_ARGUMENT", `--${flag} takes PROTOCOL,...:KEY=VALUE`);
    }
    if (!/^[A-Za-z0-9_.-]+$/.test(key)) {
      throw new InferenceError("INVALID_ARGUMENT", `--${flag}: "${key}" cannot be part of a header's name`);
    }
    for (const name of value.slice(0, colon).split(",")) {
      const protocol = PROTOCOLS.find((known) => known === name.trim());
      if (protocol === undefined) {
        const hint = didYouMean(name.trim(), PROTOCOLS);
        throw new InferenceError("INVALID_ARGUMENT", `--${flag}: unknown restricted protocol '${name.trim()}'${hint}`);
      }
      if (restrictions.has(protocol)) {
        const text = `--${flag}: protocol '${protocol}' can not be specified in multiple config groups`;
        throw new InferenceError("INVALID_ARGUMENT", text);
      }
      restrictions.set(protocol, { key, value: secret });
    }
  }
  return restrictions;
}
