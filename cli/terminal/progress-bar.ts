/** How far a long run is: a bar that redraws itself on a terminal, lines now and then elsewhere. */

export interface ProgressOptions {
  /** What is counted, e.g. "rows of m". */
  readonly label: string;
  readonly total: number;
  readonly isTty: boolean;
  /** Cells of the terminal's line. */
  readonly columns: number;
  write(text: string): void;
  nowMs(): number;
}

const REDRAW_MS = 100;
/** Logs are read later: few lines, but a sign of life. */
const LINE_MS = 10_000;
const BAR_CELLS = 24;

/** State: what was drawn last and when. */
export class ProgressBar {
  readonly #options: ProgressOptions;
  readonly #startedMs: number;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #drawnText = "";
  #done = 0;
  #finished = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#startedMs = options.nowMs();
    // The first line of a log comes after a while: a short run needs none but the last.
    if (!options.isTty) this.#drawnMs = this.#startedMs;
  }

  /** `done` of the total; going back is ignored. Draws at most every 100 ms, writes a line at most every 10 s. */
  update(done: number): void {
    if (this.#finished) return;
    this.#done = Math.min(this.#options.total, Math.max(this.#done, done));
    const now = this.#options.nowMs();
    if (now - this.#drawnMs < (this.#options.isTty ? REDRAW_MS : LINE_MS)) return;
    this.#draw(now);
  }

  /** The last state, whatever the clock says, and the end of the line. Idempotent. */
  finish(): void {
    if (this.#finished) return;
    this.#draw(this.#options.nowMs());
    this.#finished = true;
    if (this.#options.isTty) this.#options.write("\n");
  }

  #draw(nowMs: number): void {
    const { label, total, isTty, columns, write } = this.#options;
    this.#drawnMs = nowMs;
    const elapsedMs = nowMs - this.#startedMs;
    if (!isTty) {
      write(`${label}: ${progressText(this.#done, total, elapsedMs)}\n`);
      return;
    }
    const share = total > 0 ? this.#done / total : 1;
    const filled = Math.round(share * BAR_CELLS);
    const bar = `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}]`;
    // A line as wide as the terminal would wrap and leave its start behind.
    const text = `${label} ${bar} ${progressText(this.#done, total, elapsedMs)}`.slice(0, Math.max(1, columns - 1));
    write(`\r${text}${" ".repeat(Math.max(0, this.#drawnText.length - text.length))}`);
    this.#drawnText = text;
  }
}

/** "1200/10000 (12 %), 35 s left"; the time left is a guess from the pace so far. */
function progressText(done: number, total: number, elapsedMs: number): string {
  const percent = total > 0 ? Math.floor((done / total) * 100) : 100;
  const text = `${done}/${total} (${percent} %)`;
  if (done >= total) return `${text}, took ${durationText(elapsedMs)}`;
  if (done === 0 || elapsedMs < 1_000) return text;
  return `${text}, ${durationText((elapsedMs / done) * (total - done))} left`;
}

function durationText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
