/** What a person sees at the start: the table of models, the open ports, how long it took. */
import { ServedCascade } from "../model-repo/backends/served-cascade.ts";
import type { IndexEntry, LoadedModel } from "../model-repo/repository-types.ts";
import type { PlanFile } from "../proto/files/plan-file.ts";

/** Width of the reason column; longer reasons go on in the next row. */
const REASON_WIDTH = 100;

/** A table as Triton's: one row per model version, failed ones with the reason. */
export function modelTable(entries: readonly IndexEntry[]): string {
  const rows = [["Model", "Version", "Status"]];
  for (const { name, version, state, reason } of entries) {
    const status = reason === "" ? state || "not loaded" : `${state || "UNAVAILABLE"}: ${reason}`;
    const lines = wrap(printable(status));
    lines.forEach((line, i) => {
      rows.push(i === 0 ? [printable(name), version === "" ? "-" : version, line] : ["", "", line]);
    });
  }
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const [head, ...body] = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);
  return [rule, head, rule, ...body, rule, ""].join("\n");
}

/** A line for every operating point whose certificate is not what it promises; "" where there is none. */
export function certificateLines(models: readonly LoadedModel[]): string {
  const lines: string[] = [];
  for (const { name, version, model } of models) {
    if (!(model instanceof ServedCascade)) continue;
    const served = model.operatingPoint;
    for (const [point, { state, reason }] of model.certificates) {
      if (state === "valid" || (state === "uncertified" && point !== served)) continue;
      const use = point === served ? "serves" : "does not serve";
      const text = `${name} version ${version}, operating point ${point} (${use}): certificate ${state}: ${reason}`;
      lines.push(`Warning: ${printable(text)}\n`);
    }
  }
  return lines.join("");
}

/** What the plan places, and what it expects; undefined: it does not fit and is left out. */
export function planLine(file: string, plan: PlanFile | undefined): string {
  const name = printable(file);
  if (plan === undefined) return `Warning: plan ${name} is left out, as --plan-fallback asks; the log says why\n`;
  const { models, stages, placements, devices, workload, prediction } = plan;
  const parts = [
    counted(models.length, "model", "models"),
    counted(stages.length, "stage", "stages"),
    `${counted(placements.length, "copy", "copies")} on ${counted(devices.length, "device", "devices")}`,
  ];
  const rates = `planned for ${rounded(workload.rate)} requests/s, takes up to ${rounded(prediction.throughput)}`;
  return `Plan ${name}: ${parts.join(", ")}; ${rates}\n`;
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

function rounded(rate: number): string {
  return rate.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** One open port, in Triton's words. */
export function portLine(
  service: "GRPCInferenceService" | "HTTPService" | "Metrics Service",
  host: string,
  port: number,
): string {
  return `Started ${service} at ${host.includes(":") ? `[${host}]` : host}:${port}\n`;
}

/** The last line: how many models answer, after how long. */
export function readyLine(readyCount: number, seconds: number): string {
  const models = readyCount === 1 ? "1 model version" : `${readyCount} model versions`;
  return `Ready in ${seconds.toFixed(1)} s: ${models}\n`;
}

/** A text of somebody else's for the terminal: control characters become spaces. */
export function printable(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}]+/gu, " ")
    .trim();
}

/** Lines of at most REASON_WIDTH, cut at spaces where there are some. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > REASON_WIDTH) {
    const space = rest.lastIndexOf(" ", REASON_WIDTH);
    const end = space > REASON_WIDTH / 2 ? space : REASON_WIDTH;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}
