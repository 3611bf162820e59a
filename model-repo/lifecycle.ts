/** Which versions of a model should serve, and the next step towards that: pure functions over plain values. */
import type { ModelVersionPolicy } from "./config/model-config.ts";

/** Versions that the policy chooses among those found, ascending. A version in `specific` that is missing is left out. */
export function wantedVersions(policy: ModelVersionPolicy, found: readonly number[]): number[] {
  const ascending = [...new Set(found)].sort((a, b) => a - b);
  if (policy.specific !== undefined) {
    const chosen = new Set(policy.specific.versions);
    return ascending.filter((version) => chosen.has(version));
  }
  if (policy.all !== undefined) return ascending;
  return ascending.slice(-(policy.latest?.num_versions ?? 1));
}

/**
 * State of one version, as RepositoryIndex shows it:
 * LOADING -> READY -> UNLOADING -> UNAVAILABLE, LOADING -> UNAVAILABLE, UNAVAILABLE -> LOADING.
 * A reload of a READY version leaves it READY until the new one takes its place.
 */
export type VersionState =
  | { readonly kind: "LOADING" }
  | { readonly kind: "READY" }
  | { readonly kind: "UNLOADING" }
  | { readonly kind: "UNAVAILABLE"; readonly reason: string };

/** The reason of a version that was unloaded on request; it does not spoil readiness. */
export const UNLOADED = "unloaded";

/** How far one load of a model has come. */
export interface LoadProgress {
  /** Versions that should serve. */
  readonly wanted: readonly number[];
  /** Versions that serve now; outdated: their files or what they are made of changed since. */
  readonly serving: ReadonlyMap<number, "current" | "outdated">;
  /** Versions that this load has loaded beside them. */
  readonly candidates: ReadonlyMap<number, "LOADING" | "LOADED" | "FAILED">;
}

export type Action =
  /** Load this version beside what serves. */
  | { readonly kind: "load"; readonly version: number }
  /** Let the loaded version serve, in place of an outdated one of the same number. */
  | { readonly kind: "activate"; readonly version: number }
  /** Give up a loaded version because another one failed. */
  | { readonly kind: "discard"; readonly version: number }
  /** Stop serving a version that is no longer wanted. */
  | { readonly kind: "unload"; readonly version: number };

/**
 * What to do next; empty when the load has ended or is waiting for a version. New versions load before old ones go. When
 * one fails, the others of this load are given up and what served before goes on serving.
 */
export function nextActions({ wanted, serving, candidates }: LoadProgress): Action[] {
  const missing = wanted.filter((version) => serving.get(version) !== "current" && !candidates.has(version));
  if (missing.length > 0) return missing.map((version) => ({ kind: "load", version }));
  const outcomes = [...candidates.values()];
  if (outcomes.includes("LOADING")) return [];
  const loaded = [...candidates].filter(([, outcome]) => outcome === "LOADED").map(([version]) => version);
  if (outcomes.includes("FAILED")) return loaded.map((version) => ({ kind: "discard", version }));
  if (loaded.length > 0) return loaded.map((version) => ({ kind: "activate", version }));
  const unwanted = [...serving.keys()].filter((version) => !wanted.includes(version));
  return unwanted.map((version) => ({ kind: "unload", version }));
}
