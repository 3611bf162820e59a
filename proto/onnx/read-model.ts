/** Reads ONNX files on wire level: field numbers only, no schema, so that files of any ONNX release can be read. */
import { InferenceError } from "../errors.ts";
import { type ByteSource, FileSource, MemorySource } from "./byte-source.ts";
import type { OnnxModel } from "./model.ts";
import { readOutline } from "./outline.ts";
import { parseModel } from "./parse-model.ts";

/** protobuf messages end here, in every implementation. */
export const MAX_MODEL_BYTES = 2 ** 31 - 1;

/**
 * Reads a model file without its weights. UNAVAILABLE where the file cannot be read, INVALID_ARGUMENT where it is no
 * ONNX model.
 */
export async function readModel(file: string): Promise<OnnxModel> {
  const source = await FileSource.open(file);
  try {
    return await readFrom(source);
  } finally {
    await source.close();
  }
}

/** The same for bytes in memory; `subject` stands for the path in error texts. */
export function readModelBytes(bytes: Uint8Array, subject: string): Promise<OnnxModel> {
  return readFrom(new MemorySource(bytes, subject));
}

async function readFrom(source: ByteSource): Promise<OnnxModel> {
  if (source.size === 0) throw notAModel(source, "it is empty");
  if (source.size > MAX_MODEL_BYTES) {
    throw notAModel(
      source,
      `it has ${source.size} bytes, but protobuf and so ONNX end at 2 GiB; keep the weights in a file beside it ` +
        "(Python: onnx.save_model(model, path, save_as_external_data=True))",
    );
  }
  const head = await source.read(0, Math.min(LFS_POINTER.length, source.size));
  if (head.toString("latin1") === LFS_POINTER) {
    throw notAModel(source, "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'");
  }
  const outline = await readOutline(source);
  return parseModel(outline.bytes, source.subject, outline.initializers);
}

/** What Git leaves in place of a file it was not allowed or able to fetch. */
const LFS_POINTER = "version https://git-lfs";

function notAModel(source: ByteSource, why: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `'${source.subject}' is not a valid ONNX model: ${why}`);
}
