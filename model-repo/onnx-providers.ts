/** What the installed onnxruntime-node can run on. */
import { existsSync, readdirSync } from "node:fs";
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

/** NVIDIA GPUs that models can be placed on. */
export interface CudaOffer {
  /** Numbers of the GPUs as CUDA counts them; empty where there is none, or nothing to reach it with. */
  readonly gpus: readonly number[];
  /** What to do about it where the list is empty. */
  readonly hint: string;
}

/** Loads the native library and asks it; rejects (UNAVAILABLE) with one sentence where it cannot be loaded. */
export async function describeOnnxRuntime(): Promise<OnnxRuntimeReport> {
  const packageDirectory = runtimeDirectory();
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

/** Looks for device files and the provider's library; loads neither. `deviceFolder` is /dev but in tests. */
export function cudaOffer(deviceFolder = "/dev", packageDirectory = runtimeDirectory()): CudaOffer {
  const count = existsSync(deviceFolder)
    ? readdirSync(deviceFolder).filter((name) => /^nvidia\d+$/.test(name)).length
    : 0;
  const elsewhere = "use kind: KIND_CPU, or serve the model with a GPU on its own KServe v2 server";
  if (count === 0) return { gpus: [], hint: elsewhere };
  if (fetchedState("cuda", packageDirectory) === "missing") {
    const hint =
      "this machine has a GPU, but onnxruntime-node's CUDA provider is not installed ('hybridserve doctor' says how); " +
      `or ${elsewhere}`;
    return { gpus: [], hint };
  }
  return { gpus: Array.from({ length: count }, (_, gpu) => gpu), hint: elsewhere };
}

function runtimeDirectory(): string {
  return join(dirname(fileURLToPath(import.meta.resolve("onnxruntime-node"))), "..");
}

function fetchedState(provider: string, packageDirectory: string): "installed" | "missing" {
  const folder = join(packageDirectory, "bin", "napi-v6", process.platform, process.arch);
  const names = [`libonnxruntime_providers_${provider}.so`, `onnxruntime_providers_${provider}.dll`];
  return names.some((name) => existsSync(join(folder, name))) ? "installed" : "missing";
}
