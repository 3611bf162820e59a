/** Shadows by the rules of the server's `Shadows`, without the answers: which rows, when, and how many at once. */
import { SeededChoice } from "../../scheduler/cascade/seeded-choice.ts";
import { MOST_RUNNING, MOST_WAITING_ROWS } from "../../scheduler/cascade/shadow.ts";
import type { Rows } from "./rows.ts";

export class SimulatedShadows {
  /** Rows that the last level answered a second time, and rows that found no room. */
  rows = 0;
  droppedRows = 0;
  readonly areOff: boolean;
  readonly #choice: SeededChoice;
  readonly #maxRows: number;
  /** Rows of each shadow request. */
  readonly #waiting: number[] = [];
  #waitingRows = 0;
  #running = 0;

  /** `maxRows`: most rows in one request to the last level. */
  constructor(share: number, seed: number, maxRows: number) {
    this.areOff = share <= 0;
    this.#choice = new SeededChoice(share, seed);
    this.#maxRows = maxRows;
  }

  /** Chooses among the rows of an answered request. */
  offer(rows: Rows, request: number): void {
    if (this.areOff) return;
    let picked = 0;
    for (let row = 0; row < rows.perRequest; row++) {
      if (!this.#choice.next()) continue;
      if (this.#waitingRows + picked >= MOST_WAITING_ROWS) this.droppedRows++;
      else if (!rows.endsAtLast(request, row)) picked++;
    }
    for (; picked > 0; picked -= this.#maxRows) {
      const size = Math.min(picked, this.#maxRows);
      this.#waiting.push(size);
      this.#waitingRows += size;
    }
  }

  /** Rows of the next shadow request to send; 0: none now. `pending`: requests that wait for the last level. */
  next(pending: number): number {
    if (pending > 0 || this.#running >= MOST_RUNNING) return 0;
    const rows = this.#waiting.shift();
    if (rows === undefined) return 0;
    this.#waitingRows -= rows;
    this.#running++;
    return rows;
  }

  answered(rows: number): void {
    this.#running--;
    this.rows += rows;
  }
}
