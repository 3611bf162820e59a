/** The model repository that the benches serve: two identity models beside a copy of the demo. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The demo's models as they are, so that the benches measure the shipped configuration. */
export const DEMO_FOLDER = fileURLToPath(new URL("../examples/fashion-mnist/", import.meta.url));

/** Levels of the demo cascade and where their files lie. */
export const DEMO_LEVELS = ["fashion-xs", "fashion-m", "fashion-l"] as const;

/** Path of a demo model's ONNX file in the repository. */
export function modelFile(repository: string, model: string): string {
  return join(repository, model, "1", "model.onnx");
}

/** Writes the repository into an empty folder. */
export function writeRepository(repository: string): void {
  cpSync(join(DEMO_FOLDER, "models"), repository, { recursive: true });
  writeIdentity(repository, "identity-small", "[ 16 ]");
  writeIdentity(repository, "identity-image", "[ 3, 224, 224 ]");
}

function writeIdentity(repository: string, name: string, dims: string): void {
  mkdirSync(join(repository, name, "1"), { recursive: true });
  const config = `name: "${name}"
backend: "identity"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: ${dims} } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: ${dims} } ]
`;
  writeFileSync(join(repository, name, "config.pbtxt"), config);
}
