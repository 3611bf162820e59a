/** What the terminal says beside the tables: what other margins would give where the asked one certified nothing. */
import type { CalibratedCascade } from "../../planner/cascade/calibrate.ts";
import type { CascadeFile } from "../../proto/files/cascade-file.ts";
import { type TextColumn, textTable } from "../terminal/table.ts";

const WIDTH = 100;

/**
 * The best pairs of margin and saving and how many `samples` each would need; "" where something was certified. Cost is a
 * share of the last level's.
 */
export function marginsText(
  file: CascadeFile,
  { steps, pairs, path }: Pick<CalibratedCascade, "steps" | "pairs" | "path">,
  samples: "rows" | "groups",
): string {
  if (steps.filter((step) => step.passed).length > 1) return "";
  const columns = ["drop", "cost", `certify ${samples} for half the cost`].map((title): TextColumn => {
    return { title, align: "right", shrinks: false };
  });
  const lastCost = path[0]?.cost ?? 1;
  const rows = pairs.map(({ epsilon, cost, samplesForHalfCost }) => [
    percent(epsilon),
    percent(cost / lastCost),
    Number.isFinite(samplesForHalfCost) ? `about ${samplesForHalfCost}` : "out of reach of these levels",
  ]);
  return (
    `\nNothing cheaper than '${file.levels.at(-1)?.model}' alone could be certified at this margin. What these rows can ` +
    `certify:\n${textTable(columns, rows, WIDTH).join("\n")}\n`
  );
}

/** A share of 1 in percent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
