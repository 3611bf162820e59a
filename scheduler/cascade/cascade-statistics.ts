/** What a cascade saved: plain counters, read at scrape. */

export class CascadeStatistics {
  /** rowsByPath[k][j]: rows that level k answered (j = k) or passed on to level j. */
  readonly rowsByPath: readonly number[][];
  /** Rows whose scores were no finite numbers; they always escalate. */
  nonFiniteRows = 0;

  constructor(levels: number) {
    this.rowsByPath = Array.from({ length: levels }, () => new Array<number>(levels).fill(0));
  }

  recordRow(level: number, destination: number): void {
    const paths = this.rowsByPath[level];
    if (paths !== undefined) paths[destination] = (paths[destination] ?? 0) + 1;
  }
}
