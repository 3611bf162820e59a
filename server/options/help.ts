/** The text of `hybridserve serve --help`: every flag, grouped. */
import type { FlagSpec } from "./flag.ts";
import { FLAG_GROUPS } from "./flags.ts";

const COLUMN = 38;

/** Usage, an example and the flags under their headings, lines as long as their help. */
export function serveHelp(): string {
  const lines = [
    "Usage: hybridserve serve --model-repository DIR [flags]",
    "",
    "Serves a model repository over gRPC (8001), HTTP (8000) and Prometheus metrics (8002).",
    "Flags are tritonserver's: --flag=VALUE or --flag VALUE; a switch is also true without a value.",
    "",
    "Example:",
    "  hybridserve serve --model-repository ./models --grpc-port 9001 --strict-readiness=false",
  ];
  for (const group of FLAG_GROUPS) {
    lines.push("", `${group.title}:`);
    for (const spec of group.flags) lines.push(flagLine(spec));
  }
  lines.push("", "Exit codes: 0 stopped by a signal after draining, 1 failed, 2 bad usage.");
  return `${lines.join("\n")}\n`;
}

function flagLine(spec: FlagSpec): string {
  const value = { flag: "", boolean: " true|false", integer: " N", number: " N", text: " TEXT" }[spec.kind];
  const left = `  --${spec.name}${value}`;
  const help = spec.default === "" ? spec.help : `${spec.help} (default ${spec.default})`;
  return left.length < COLUMN ? `${left.padEnd(COLUMN)}${help}` : `${left}\n${" ".repeat(COLUMN)}${help}`;
}
