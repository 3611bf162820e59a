/** What the installed onnxruntime-node can run on. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingRuntime } from "./backends/onnx-error.ts";

export interface OnnxRuntimeReport {
  /** Of onnxruntime-node. */
  readonly version: string;
  readonly providers: readonly ExecutionProvider[];
  /** Folder of the package: its install script fetches what is not bundled. */
  readonly packageDirectory: string;
}

export interface ExecutionProvider {
  readonly name: string;
  /** bundled: part of the package; installed: fetched into it afterwards; missing: neither. */
  readonly state: "bundled" | "installed" | "missing";
}

/** Loads the native library and asks it; rejects (UNAVAILABLE) with one sentence where it cannot be loaded. */
export async function describeOnnxRuntime(): Promise<OnnxRuntimeReport> {
  const packageDirectory = join(dirname(fileURLToPath(import.meta.resolve("onnxruntime-node"))), "..");
  try {
    const runtime = await import("onnxruntime-node");
    const providers = runtime.listSupportedBackends().map(({ name, bundled }) => ({
      name,
      state: bundled ? ("bundled" as const) : fetchedState(name, packageDirectory),
    }));
    return { version: runtime.env.versions.node ?? runtime.env.versions.common, providers, packageDirectory };
  } catch (error) {
    throw missingRuntime(error);
  }
}

function fetchedState(provider: string, packageDirectory: string): "installed" | "missing" {
  const folder = join(packageDirectory, "bin", "napi-v6", process.platform, process.arch);
  const names = [`libonnxruntime_providers_${provider}.so`, `onnxruntime_providers_${provider}.dll`];
  return names.some((name) => existsSync(join(folder, name))) ? "installed" : "missing";
}
