/** Carries out one load of one model: asks `nextActions` what to do until nothing is left. */
import { InferenceError } from "../proto/errors.ts";
import { type Action, nextActions, UNLOADED } from "./lifecycle.ts";
import type { LoadedVersion, ModelEntry } from "./model-entry.ts";
import type { ModelSource } from "./model-source.ts";

export interface LoadOutcome {
  /** Whether other models answer now than before. */
  readonly hasChanged: boolean;
  /** Versions that stopped serving and are to be closed once nobody is made of them. */
  readonly retired: readonly LoadedVersion[];
  /** Why the model is not as it should be, in Triton's words. */
  readonly failure: InferenceError | undefined;
}

type Candidate =
  | { readonly outcome: "LOADING" }
  | { readonly outcome: "LOADED"; readonly loaded: LoadedVersion }
  | { readonly outcome: "FAILED"; readonly reason: string };

/**
 * Brings a model to what its source says. `partsChanged`: models it is made of were replaced, so every version is
 * outdated. `loadVersion` makes a running model; it is called for all missing versions at once.
 */
export async function loadModelVersions(
  entry: ModelEntry,
  source: ModelSource,
  partsChanged: boolean,
  loadVersion: (version: number) => Promise<LoadedVersion>,
): Promise<LoadOutcome> {
  const { wanted, name } = source;
  if (wanted.length === 0) {
    const text = `load failed for model '${name}': at least one version must be available under the version policy of model '${name}'`;
    return { hasChanged: false, retired: [], failure: new InferenceError("INVALID_ARGUMENT", text) };
  }
  const candidates = new Map<number, Candidate>();
  const renewed = new Set<number>();
  const retired: LoadedVersion[] = [];
  let hasChanged = false;

  const serving = () =>
    new Map(
      entry.ready().map((loaded) => {
        const isSame = loaded.fingerprint === source.fingerprintOf(loaded.number);
        const isCurrent = renewed.has(loaded.number) || (isSame && !partsChanged);
        return [loaded.number, isCurrent ? "current" : "outdated"] as const;
      }),
    );

  const carryOut = async ({ kind, version }: Action): Promise<void> => {
    const candidate = candidates.get(version);
    switch (kind) {
      case "load":
        candidates.set(version, { outcome: "LOADING" });
        entry.startLoading(version);
        candidates.set(version, await attempt(() => loadVersion(version)));
        return;
      case "activate": {
        if (candidate?.outcome !== "LOADED") return;
        const replaced = entry.activate(candidate.loaded);
        if (replaced !== undefined) {
          candidate.loaded.takeOver?.(replaced.model);
          retired.push(replaced);
        }
        renewed.add(version);
        candidates.delete(version);
        hasChanged = true;
        return;
      }
      case "discard":
        candidates.set(version, { outcome: "FAILED", reason: UNLOADED });
        if (candidate?.outcome === "LOADED") await candidate.loaded.model.close();
        return;
      case "unload": {
        const loaded = entry.find(String(version));
        if (loaded === undefined) return;
        entry.retire(loaded);
        retired.push(loaded);
        hasChanged = true;
        return;
      }
    }
  };

  for (;;) {
    const outcomes = new Map([...candidates].map(([version, { outcome }]) => [version, outcome]));
    const actions = nextActions({ wanted, serving: serving(), candidates: outcomes });
    if (actions.length === 0) break;
    await Promise.all(actions.map(carryOut));
  }
  let text = "";
  for (const [version, candidate] of [...candidates].sort(([a], [b]) => a - b)) {
    if (candidate.outcome !== "FAILED") continue;
    entry.notLoaded(version, candidate.reason);
    if (candidate.reason !== UNLOADED) text += `version ${version} is at UNAVAILABLE state: ${candidate.reason};\n`;
  }
  const failure =
    text === "" ? undefined : new InferenceError("INVALID_ARGUMENT", `load failed for model '${name}': ${text}`);
  return { hasChanged, retired, failure };
}

async function attempt(load: () => Promise<LoadedVersion>): Promise<Candidate> {
  try {
    return { outcome: "LOADED", loaded: await load() };
  } catch (error) {
    return { outcome: "FAILED", reason: statusText(InferenceError.from(error)) };
  }
}

/** A failure as Triton's status prints it, `Invalid argument: ...`; the reason of an UNAVAILABLE version. */
export function statusText({ code, message }: InferenceError): string {
  const words = code === "UNIMPLEMENTED" ? "unsupported" : code.toLowerCase().replaceAll("_", " ");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}: ${message}`;
}
