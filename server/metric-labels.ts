/** Labels that every metric of a model version has. */
import type { LoadedModel } from "../model-repo/repository-types.ts";

/** Model, version and `_<tag>` for every metric_tags entry; tag names become label names (letters, digits, `_`). */
export function labelsOf({ name, version, config }: LoadedModel): Record<string, string> {
  const tags = Object.entries(config.metric_tags).map(([tag, value]) => [
    `_${tag.replace(/[^A-Za-z0-9_]/g, "_")}`,
    value,
  ]);
  return { ...Object.fromEntries(tags), model: name, version };
}
