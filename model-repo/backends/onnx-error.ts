/** onnxruntime's failures in Triton's words. */
import { InferenceError } from "../../proto/errors.ts";

/** Longest text of the runtime that is passed on; some name every node of a model. */
const MAX_TEXT = 500;

/** `onnx runtime error <code>: <text>` (onnxruntime_utils.h:52). */
export function onnxRuntimeError(reason: unknown): InferenceError {
  const text = (reason instanceof Error ? reason.message : String(reason)).trim();
  if (text === "Unsupported data type: 16") {
    return new InferenceError(
      "UNIMPLEMENTED",
      "the model has BF16 inputs or outputs, which onnxruntime-node cannot pass; cast them to FP32 in the model",
    );
  }
  if (text.includes("ExecutionProvider_Cuda: Failed to load shared library")) {
    return new InferenceError(
      "UNAVAILABLE",
      "onnxruntime-node's CUDA provider cannot be loaded: it is not installed, or CUDA or cuDNN is missing; " +
        "'hybridserve doctor' says how to install it, or use kind: KIND_CPU",
    );
  }
  const shortened = text.length > MAX_TEXT ? `${[...text].slice(0, MAX_TEXT).join("")}...` : text;
  return new InferenceError("INTERNAL", `onnx runtime error ${onnxRuntimeErrorCode(text)}: ${shortened}`);
}

/** The OrtErrorCode of a text: onnxruntime-node passes on the text only. 1 (FAIL) where nothing is known of it. */
export function onnxRuntimeErrorCode(text: string): number {
  for (const [code, pattern] of CODES) if (pattern.test(text)) return code;
  return 1;
}

const CODES: readonly (readonly [number, RegExp])[] = [
  [2, /^(Got invalid dimensions|Invalid rank|Unexpected input data type|Missing Input|Invalid (Feed|Output) )/],
  [3, /File doesn't exist/],
  [6, /^Non-zero status code returned/],
  [7, /Protobuf parsing failed/],
  [9, /NOT_IMPLEMENTED|Could not find an implementation/],
  [10, /invalid model|INVALID_GRAPH/i],
];

/** One sentence where the native library itself cannot be loaded. */
export function missingRuntime(reason: unknown): InferenceError {
  const text = reason instanceof Error ? (reason.message.split("\n")[0] ?? "") : String(reason);
  return new InferenceError(
    "UNAVAILABLE",
    `onnxruntime-node cannot be loaded for ${process.platform}-${process.arch} on Node ${process.versions.node} ` +
      `(${text}); reinstall with 'npm ci' on this machine and run on Node 22`,
  );
}
