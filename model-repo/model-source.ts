/** What a model on disk wants to be: its configuration, versions and parts, read before anything is loaded. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Model } from "../scheduler/model.ts";
import type { LoadContext } from "./backends/backend.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { type ResolvedConfig, type ResolveOptions, resolveModelConfig } from "./config/resolve.ts";
import { wantedVersions } from "./lifecycle.ts";
import { loadModel, modelDependencies } from "./loader.ts";
import type { ActiveOverride } from "./model-entry.ts";
import { applyCascadePlacement } from "./plan/apply-placement.ts";
import { type CascadePlacement, type ModelPlacement, NO_PLACEMENTS } from "./plan/placement.ts";
import { diskFiles, type Fingerprint, type RepositoryFiles } from "./repository-files.ts";
import type { RepositoryOptions } from "./repository-types.ts";

/** What the repository needs of the world outside; tests replace parts of it. */
export interface RepositoryParts {
  readonly files: RepositoryFiles;
  resolve(options: ResolveOptions): Promise<ResolvedConfig>;
  load(context: LoadContext): Promise<Model>;
  dependencies(config: ModelConfig, versionDirectory: string): Promise<string[]>;
}

/** Directories on disk and the backends of this build. */
export const DEFAULT_PARTS: RepositoryParts = {
  files: diskFiles,
  resolve: resolveModelConfig,
  load: loadModel,
  dependencies: modelDependencies,
};

/** A model ready to be loaded. */
export interface ModelSource {
  readonly name: string;
  readonly directory: string;
  readonly resolved: ResolvedConfig;
  readonly override: ActiveOverride | undefined;
  /** Versions that should serve, ascending. */
  readonly wanted: readonly number[];
  /** Models it is made of. */
  readonly dependencies: readonly string[];
  /** By number, what the plan said of the versions when the model was read. */
  readonly placements: ReadonlyMap<number, ModelPlacement>;
  /** See `LoadContext`. */
  readonly plannedCascade?: { readonly isPointNamed: boolean } | undefined;
  /** Changes with everything that a version is loaded from. */
  fingerprintOf(version: number): string;
}

/** Reads a model; rejects where its configuration does not work. `directory` is used where no files override it. */
export async function readModelSource(
  name: string,
  directory: string,
  override: ActiveOverride | undefined,
  options: RepositoryOptions,
  parts: RepositoryParts,
): Promise<ModelSource> {
  const fingerprint = await parts.files.fingerprint(directory);
  const resolved = await parts.resolve({
    directory,
    autoComplete: options.autoComplete,
    defaultMaxBatchSize: defaultMaxBatchSize(options),
    ...(options.configName === undefined ? {} : { configName: options.configName }),
    ...(override?.config === undefined ? {} : { override: override.config }),
  });
  const wanted = wantedVersions(resolved.config.version_policy, resolved.versions);
  // Taken once: a plan that is replaced while the model loads must not pass for the one it was loaded by.
  const plan = options.placements ?? NO_PLACEMENTS;
  const cascadePlacement = plan.cascadePlacementOf(name);
  const placements = new Map<number, ModelPlacement>();
  for (const version of resolved.versions) {
    const placement = plan.placementOf(name, String(version));
    if (placement !== undefined) placements.set(version, placement);
  }
  const dependencies = new Set<string>();
  for (const version of wanted) {
    // A model file that cannot be read fails its own load, which says why.
    const found = await parts.dependencies(resolved.config, join(directory, String(version))).catch(() => []);
    for (const part of found) dependencies.add(part);
  }
  return {
    name,
    directory,
    resolved: placed(resolved, cascadePlacement),
    plannedCascade:
      cascadePlacement === undefined
        ? undefined
        : {
            isPointNamed:
              resolved.config.parameters["operating_point"]?.string_value === cascadePlacement.operatingPoint,
          },
    override,
    wanted,
    dependencies: [...dependencies],
    placements,
    fingerprintOf: (version) =>
      versionFingerprint(fingerprint, override, version, [
        placements.get(version)?.fingerprint ?? null,
        cascadePlacement ?? null,
      ]),
  };
}

/** The configuration with what the plan says of a cascade; of other models the plan speaks version by version. */
function placed(resolved: ResolvedConfig, placement: CascadePlacement | undefined): ResolvedConfig {
  if (placement === undefined) return resolved;
  return { ...resolved, config: applyCascadePlacement(resolved.config, placement) };
}

function versionFingerprint(
  files: Fingerprint,
  override: ActiveOverride | undefined,
  version: number,
  plan: readonly unknown[],
): string {
  const text = JSON.stringify([override?.id ?? null, files.config, files.versions.get(version) ?? null, plan]);
  return createHash("sha256").update(text).digest("base64");
}

/** `--backend-config=onnxruntime,default-max-batch-size=N`; 4 as Triton. */
function defaultMaxBatchSize(options: RepositoryOptions): number {
  const key = "default-max-batch-size";
  const text = options.backendConfig.get("onnxruntime")?.get(key) ?? options.backendConfig.get("")?.get(key);
  return text === undefined || !/^\d{1,9}$/.test(text) ? 4 : Number(text);
}
