/** Shows how far the runs of the levels are: one bar a level on a terminal, else a line now and then. */
import type { CommandIo } from "../command.ts";
import { ProgressBar } from "../terminal/progress-bar.ts";
import type { LevelProgress } from "./run-levels.ts";

const PLAIN_COLUMNS = 100;

/** Levels come one after another. Tells at the end of each how many of its rows were known from the cache. */
export function levelProgress(io: CommandIo, nowMs: () => number): LevelProgress {
  let bar: ProgressBar | undefined;
  let cachedRows = 0;
  let before = 0;
  return (level, rowsDone, rows, cached) => {
    bar ??= new ProgressBar({
      label: level.model,
      total: rows,
      isTty: io.terminalColumns !== undefined,
      columns: io.terminalColumns ?? PLAIN_COLUMNS,
      write: (text) => io.stderr(text),
      nowMs,
    });
    if (cached) cachedRows += rowsDone - before;
    before = rowsDone;
    bar.update(rowsDone);
    if (rowsDone < rows) return;
    bar.finish();
    if (cachedRows > 0) io.stderr(`  ${cachedRows} of ${rows} rows were in the cache\n`);
    bar = undefined;
    cachedRows = 0;
    before = 0;
  };
}
