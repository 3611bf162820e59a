/** Which tensors of its levels a cascade's calibration reads and feeds, from the levels' entries and signatures. */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";
import { scoreOutput } from "./new-cascade.ts";

/** Signature of a model's version. */
export type SignatureOf = (model: string, version: string) => ModelSignature;

/**
 * Every level needs a tensor of scores, the last too: its answers are what the others are judged by. Where a confidence
 * does not name it, it is the level's tensor for the cascade's output, or the only one that can hold scores. A level
 * without a confidence counts the tokens that the others count, where it has such an output.
 */
export function withScores(levels: readonly CascadeLevel[], signatureOf: SignatureOf): CascadeLevel[] {
  const output = levels.flatMap((level) => Object.keys(level.outputs))[0];
  return levels.map((level) => {
    if (level.confidence?.outputs["scores"] !== undefined) return level;
    const signature = signatureOf(level.model, level.version);
    const mapped = output === undefined ? undefined : (level.outputs[output] ?? output);
    const scores = signature.outputs.find(({ name }) => name === mapped)?.name ?? scoreOutput(signature).name;
    const outputs = maskOf(levels, level, signature);
    const confidence = level.confidence ?? { function: "max_prob", kind: "logits" as const, outputs, params: {} };
    return { ...level, confidence: { ...confidence, outputs: { ...confidence.outputs, scores } } };
  });
}

/** The level's output for what the others' confidences read as the mask of tokens. */
function maskOf(levels: readonly CascadeLevel[], level: CascadeLevel, signature: ModelSignature): { mask?: string } {
  const masked = levels.find(({ confidence }) => confidence?.outputs["mask"] !== undefined);
  const theirs = masked?.confidence?.outputs["mask"];
  if (masked === undefined || theirs === undefined) return {};
  const output = Object.keys(masked.outputs).find((name) => masked.outputs[name] === theirs) ?? theirs;
  const mask = signature.outputs.find(({ name }) => name === (level.outputs[output] ?? output))?.name;
  return mask === undefined ? {} : { mask };
}

/** The cascade's inputs as its levels take them: one row's shape of each. */
export function cascadeInputs(levels: readonly CascadeLevel[], signatureOf: SignatureOf): TensorSpec[] {
  const inputs = new Map<string, TensorSpec>();
  for (const level of levels) {
    const signature = signatureOf(level.model, level.version);
    for (const spec of signature.inputs) {
      const name = level.inputs[spec.name] ?? spec.name;
      const dims = signature.maxBatchSize > 0 ? spec.dims : spec.dims.slice(1);
      if (!inputs.has(name)) inputs.set(name, { ...spec, name, dims });
    }
  }
  return [...inputs.values()];
}

/** The last level's tensor of scores. */
export function scoresOf(levels: readonly CascadeLevel[], signatureOf: SignatureOf): TensorSpec {
  const last = levels.at(-1);
  const name = last?.confidence?.outputs["scores"];
  const signature = last === undefined ? undefined : signatureOf(last.model, last.version);
  const spec = signature?.outputs.find((output) => output.name === name);
  if (spec !== undefined) return spec;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `level '${last?.model}' has no output '${name}'; its confidence in cascade.json names it`,
  );
}

/** A single score tells two classes apart. */
export function classesOf({ dims }: TensorSpec): number | null {
  const classes = dims.at(-1) ?? 1;
  if (classes === -1) return null;
  return classes === 1 ? 2 : classes;
}
