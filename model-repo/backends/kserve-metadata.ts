/** Whether a remote model is the one that the configuration describes, and the one it was before. Pure. */
import { createHash } from "node:crypto";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";
import { wireShape } from "../../scheduler/signature.ts";
import { markedHash } from "./certificate-hash.ts";

/** `inference.ModelMetadataResponse` as proto-loader gives it: 64-bit integers are strings. */
export interface RemoteMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly RemoteTensor[];
  readonly outputs: readonly RemoteTensor[];
}

export interface RemoteTensor {
  readonly name: string;
  readonly datatype: string;
  /** With the batch dimension where the model batches; -1 is any size. */
  readonly shape: readonly string[];
}

/** What is read of a remote's `inference.ModelConfig`. */
export interface RemoteConfig {
  readonly max_batch_size: number;
  readonly input: readonly { readonly name: string; readonly optional: boolean }[];
}

/** Everything that keeps the remote from answering the configuration's requests, and what is only odd. */
export interface MetadataFindings {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Compares names, datatypes and dims; a remote may take more than the configuration promises, never less. */
export function compareMetadata(signature: ModelSignature, remote: RemoteMetadata): MetadataFindings {
  const problems = [
    ...signature.inputs.flatMap((spec) => tensorProblems(signature, spec, "input", remote.inputs)),
    ...signature.outputs.flatMap((spec) => tensorProblems(signature, spec, "output", remote.outputs)),
  ];
  // Metadata does not say which inputs are optional.
  const warnings = remote.inputs
    .filter((input) => !signature.inputs.some((spec) => spec.name === input.name))
    .map(
      (input) => `the remote has an input '${input.name}' that config.pbtxt does not list: it must be optional there`,
    );
  return { problems, warnings };
}

/**
 * `sha256:metadata:<hex>` of name, platform, tensors and the newest version, which is the one that answers where none is asked
 * for. Targets that say the same count once, so that the hash stays when one of them is away. All that can be known from
 * outside: a model with other weights under the same version has the same hash, and only its answers tell.
 */
export function metadataHash(remotes: readonly RemoteMetadata[]): string {
  const tensors = (list: readonly RemoteTensor[]) => list.map(({ name, datatype, shape }) => [name, datatype, shape]);
  const texts = remotes.map((remote) => {
    const { name, platform, inputs, outputs } = remote;
    return JSON.stringify([name, newestVersion(remote), platform, tensors(inputs), tensors(outputs)]);
  });
  const hash = createHash("sha256").update(JSON.stringify([...new Set(texts)].sort()));
  return markedHash("metadata", hash.digest("hex"));
}

/** The highest of the versions that are numbers; "" where there is none. */
export function newestVersion({ versions }: RemoteMetadata): string {
  const numbers = versions.filter((version) => /^\d{1,15}$/.test(version)).map(Number);
  return numbers.length === 0 ? "" : String(Math.max(...numbers));
}

function tensorProblems(
  signature: ModelSignature,
  spec: TensorSpec,
  kind: "input" | "output",
  tensors: readonly RemoteTensor[],
): string[] {
  const tensor = tensors.find((candidate) => candidate.name === spec.name);
  if (tensor === undefined) {
    const names = tensors.map((candidate) => `'${candidate.name}'`).join(", ");
    return [`${kind} '${spec.name}' does not exist there; its ${kind}s are ${names === "" ? "none" : names}`];
  }
  if (tensor.datatype !== spec.datatype) {
    return [`${kind} '${spec.name}' is ${spec.datatype} in config.pbtxt and ${tensor.datatype} there`];
  }
  const own = wireShape(signature, spec);
  const theirs = tensor.shape.map(Number);
  const isWider = (own: number, theirs: number) => (kind === "input" ? theirs === -1 : own === -1 || theirs === -1);
  const fits = own.length === theirs.length && own.every((dim, i) => dim === theirs[i] || isWider(dim, theirs[i] ?? 0));
  if (fits) return [];
  const batchNote =
    own.length === theirs.length ? "" : ` (max_batch_size ${signature.maxBatchSize}: a first -1 is the batch)`;
  return [`${kind} '${spec.name}' has shape [${own}] in config.pbtxt and [${theirs}] there${batchNote}`];
}
