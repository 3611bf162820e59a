/** onnxruntime sessions of the process that does a job: open a file or bytes, run, get raw bytes. */
import { dirname } from "node:path";
import type { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { EXTERNAL_DATA_FOLDER_SETTING } from "../../proto/onnx/graph.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { missingRuntime, onnxRuntimeError } from "../backends/onnx-error.ts";
import type { GraphFile, OptimizationLevel } from "./jobs.ts";
import { toOnnxTensor, toTensor } from "./onnx-tensors.ts";

type Runtime = typeof import("onnxruntime-node");

/** Warnings about a model's graph are not the operator's; what fails is in the error. */
const SEVERITY_ERROR = 3;

/** A session with one thread unless the options say otherwise; `file` says where external data lie. */
export async function openSession(
  model: string | Uint8Array,
  file: GraphFile,
  graphOptimizationLevel: OptimizationLevel,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const runtime = await loadRuntime();
  const all: InferenceSession.SessionOptions = {
    executionProviders: ["cpu"],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel,
    logSeverityLevel: SEVERITY_ERROR,
    ...options,
    extra: {
      [EXTERNAL_DATA_FOLDER_SETTING]: file.externalDataDirectory ?? dirname(file.modelPath),
      ...options.extra,
    },
  };
  try {
    return await (typeof model === "string"
      ? runtime.InferenceSession.create(model, all)
      : runtime.InferenceSession.create(model, all));
  } catch (error) {
    throw onnxRuntimeError(error);
  }
}

async function loadRuntime(): Promise<Runtime> {
  try {
    return await import("onnxruntime-node");
  } catch (error) {
    throw missingRuntime(error);
  }
}

/**
 * Runs the session on inputs by name; the outputs asked for, else all tensors, come in their order. INTERNAL with the
 * runtime's text.
 */
export async function runSession(
  session: InferenceSession,
  inputs: readonly Tensor[],
  names: readonly string[] = tensorOutputs(session),
): Promise<Tensor[]> {
  const runtime = await loadRuntime();
  const feeds: Record<string, OnnxTensor> = {};
  for (const input of inputs) feeds[input.name] = toOnnxTensor(runtime, input);
  let results: InferenceSession.ReturnType;
  try {
    results = await session.run(feeds, names);
  } catch (error) {
    throw onnxRuntimeError(error);
  }
  return names.flatMap((name) => {
    const result = results[name];
    return result === undefined ? [] : [toTensor(name, result)];
  });
}

/** Outputs that can be fetched: the binding has no sequences and maps. */
function tensorOutputs(session: InferenceSession): string[] {
  return session.outputMetadata.filter((metadata) => metadata.isTensor).map((metadata) => metadata.name);
}
