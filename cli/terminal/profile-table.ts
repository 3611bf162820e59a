/** What a profile measured, for the terminal. */
import type { BatchProfile, ProfileFile } from "../../proto/files/profile-file.ts";
import { NO_NUMBER, significant } from "../report/format.ts";
import { type TextColumn, textTable } from "./table.ts";

const COLUMNS: readonly TextColumn[] = [
  { title: "model", align: "left", shrinks: true },
  { title: "class", align: "left", shrinks: true },
  { title: "batch", align: "right", shrinks: false },
  { title: "p50 ms", align: "right", shrinks: false },
  { title: "p95 ms", align: "right", shrinks: false },
  { title: "rows/s", align: "right", shrinks: false },
  { title: "peak MiB", align: "right", shrinks: false },
  { title: "J/row", align: "right", shrinks: false },
  { title: "runs", align: "right", shrinks: false },
];
const WIDTH = 100;

/** A line for each model, class and batch size; ends with a line break. */
export function profileTable({ models }: ProfileFile): string {
  const rows = models.flatMap(({ name, classes }) =>
    classes.flatMap((each) =>
      each.batches.length === 0
        ? [[name, each.class, NO_NUMBER, NO_NUMBER, NO_NUMBER, NO_NUMBER, NO_NUMBER, NO_NUMBER, "0"]]
        : each.batches.map((batch) => [name, each.class, ...cells(batch)]),
    ),
  );
  return `${textTable(COLUMNS, rows, WIDTH).join("\n")}\n`;
}

function cells({ batchSize, serviceMs, peakBytes, energy }: BatchProfile): string[] {
  const sorted = [...serviceMs].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const meanMs = serviceMs.reduce((sum, ms) => sum + ms, 0) / serviceMs.length;
  return [
    String(batchSize),
    significant(at(0.5)),
    significant(at(0.95)),
    significant((batchSize * 1000) / meanMs),
    peakBytes === 0 ? NO_NUMBER : String(Math.round(peakBytes / 2 ** 20)),
    energy === null ? NO_NUMBER : significant(energy.joules / batchSize),
    String(serviceMs.length),
  ];
}
