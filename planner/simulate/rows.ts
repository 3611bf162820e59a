/** The rows of all requests of a simulation: where each goes, and which go on together. */
import { Entry } from "./entry.ts";

export class Rows {
  readonly perRequest: number;
  /** Rows answered by each level. */
  readonly answered: Float64Array;
  /** Most rows in one entry of each level. */
  readonly #mostRows: readonly number[];
  readonly #nextWay: () => number;
  readonly #ways: Uint32Array;
  /** Next row of the same entry; -1: none. */
  readonly #nextRow: Int32Array;
  readonly #left: Int32Array;
  readonly #refused: Uint8Array;
  /** Entries in the making, by level, chained by `next`. */
  readonly #groups: (Entry | undefined)[];
  readonly #groupEnds: (Entry | undefined)[];

  constructor(requests: number, perRequest: number, mostRows: readonly number[], nextWay: () => number) {
    const rows = requests * perRequest;
    this.perRequest = perRequest;
    this.#mostRows = mostRows;
    this.#nextWay = nextWay;
    this.#ways = new Uint32Array(rows);
    this.#nextRow = new Int32Array(rows);
    this.#left = new Int32Array(requests).fill(perRequest);
    this.#refused = new Uint8Array(requests);
    this.#groups = mostRows.map(() => undefined);
    this.#groupEnds = mostRows.map(() => undefined);
    this.answered = new Float64Array(mostRows.length);
  }

  requestOf(row: number): number {
    return this.perRequest === 1 ? row : Math.floor(row / this.perRequest);
  }

  /** Groups the rows of a new request by the level that they enter at. */
  enter(request: number): void {
    const firstRow = request * this.perRequest;
    for (let row = firstRow; row < firstRow + this.perRequest; row++) {
      const way = this.#nextWay();
      this.#ways[row] = way;
      this.#group(row, lowestBit(way));
    }
  }

  /**
   * A level has answered an entry: its rows are done or grouped by the level they go to. Returns whether that was the
   * last of the request's rows.
   */
  goOn(entry: Entry, level: number): boolean {
    const request = this.requestOf(entry.firstRow);
    let left = this.#left[request] ?? 0;
    for (let row = entry.firstRow; row >= 0; ) {
      const next = this.#nextRow[row] ?? -1;
      const rest = (this.#ways[row] ?? 0) >>> (level + 1);
      if (rest === 0) {
        this.answered[level] = (this.answered[level] ?? 0) + 1;
        left--;
      } else {
        this.#group(row, level + 1 + lowestBit(rest));
      }
      row = next;
    }
    this.#left[request] = left;
    return left === 0;
  }

  /** The entries grouped for a level since the last call, chained by `next`. */
  takeGroup(level: number): Entry | undefined {
    const first = this.#groups[level];
    this.#groups[level] = undefined;
    this.#groupEnds[level] = undefined;
    return first;
  }

  isRefused(request: number): boolean {
    return this.#refused[request] === 1;
  }

  /** Returns whether it was not refused before. */
  refuse(request: number): boolean {
    if (this.#refused[request] === 1) return false;
    this.#refused[request] = 1;
    return true;
  }

  /** Whether the last level's answer stands for row `i` of a request. */
  endsAtLast(request: number, i: number): boolean {
    return (this.#ways[request * this.perRequest + i] ?? 0) >>> (this.#mostRows.length - 1) === 1;
  }

  /** Rows of an entry in their order; -1 for each row of a shadow. */
  of(entry: Entry): number[] {
    if (entry.isShadow) return new Array<number>(entry.rows).fill(-1);
    const rows: number[] = [];
    for (let row = entry.firstRow; row >= 0; row = this.#nextRow[row] ?? -1) rows.push(row);
    return rows;
  }

  #group(row: number, level: number): void {
    this.#nextRow[row] = -1;
    const end = this.#groupEnds[level];
    if (end !== undefined && end.rows < (this.#mostRows[level] ?? 1)) {
      this.#nextRow[end.lastRow] = row;
      end.lastRow = row;
      end.rows++;
      return;
    }
    const entry = new Entry(row, 1);
    if (end === undefined) this.#groups[level] = entry;
    else end.next = entry;
    this.#groupEnds[level] = entry;
  }
}

/** Place of the lowest bit that is set. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
