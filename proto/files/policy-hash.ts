/** The hash that binds a certificate to the policy it was computed for. */
import { createHash } from "node:crypto";
import type { CascadeFile, OperatingPoint } from "./cascade-file.ts";

/**
 * `sha256:<hex>` over everything of a cascade that decides an answer: levels with their versions, maps and
 * confidence functions, and the gates of one point. Costs, names of points and the graph decide nothing.
 */
export function policyHash(file: CascadeFile, point: OperatingPoint): string {
  const levels = file.levels.map(({ model, version, inputs, outputs, labelMap, confidence }) => ({
    model,
    version,
    inputs,
    outputs,
    labelMap,
    confidence,
  }));
  const policy = { formatVersion: file.formatVersion, levels, gates: point.gates };
  return textHash(canonicalJson(policy));
}

/** `sha256:<hex>` of a text or of bytes. */
export function textHash(text: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

/** JSON with sorted keys, so that equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
