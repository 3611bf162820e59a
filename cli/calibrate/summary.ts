/** What the terminal says beside the tables: what other margins would give where the asked one certified nothing. */
import type { CalibratedCascade } from "../../planner/cascade/calibrate.ts";
import type { CascadeFile } from "../../proto/files/cascade-file.ts";
import { type TextColumn, textTable } from "../terminal/table.ts";

const WIDTH = 100;
const COLUMNS: readonly TextColumn[] = [
  { title: "drop", align: "right", shrinks: false },
  { title: "cost", align: "right", shrinks: false },
  { title: "certify rows for half the cost", align: "right", shrinks: false },
];

/** The best pairs of margin and saving and what the asked margin would need; "" where something was certified. */
export function marginsText(file: CascadeFile, { steps, pairs, path }: CalibratedCascade): string {
  if (steps.filter((step) => step.passed).length > 1) return "";
  const lastCost = path[0]?.cost ?? 1;
  const rows = pairs.map(({ epsilon, cost, samplesForHalfCost }) => [
    percent(epsilon),
    percent(cost / lastCost),
    Number.isFinite(samplesForHalfCost) ? `about ${samplesForHalfCost}` : "out of reach of these levels",
  ]);
  return (
    `\nNothing cheaper than '${file.levels.at(-1)?.model}' alone could be certified at this margin. What these rows can ` +
    `certify:\n${textTable(COLUMNS, rows, WIDTH).join("\n")}\n`
  );
}

/** A share of 1 in percent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
