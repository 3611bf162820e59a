/** The rows of all requests of a simulation: where each goes, and which go on together. */
import { type Entries, NONE } from "./entry.ts";

export class Rows {
  readonly perRequest: number;
  /** Rows answered by each level. */
  readonly answered: Float64Array;
  /** Most rows in one entry of each level. */
  readonly #mostRows: readonly number[];
  readonly #nextWay: () => number;
  readonly #ways: Uint32Array;
  readonly #entries: Entries;
  /** Next row of the same entry; NONE: it is the last. */
  readonly #nextRow: Int32Array;
  /** By entry: its last row. */
  readonly #lastRow: Int32Array;
  readonly #left: Int32Array;
  readonly #refused: Uint8Array;
  /** Entries in the making, by level, chained by `next`: the first and the last. */
  readonly #groups: Int32Array;
  readonly #groupEnds: Int32Array;

  constructor(
    entries: Entries,
    requests: number,
    perRequest: number,
    mostRows: readonly number[],
    nextWay: () => number,
  ) {
    const rows = requests * perRequest;
    this.perRequest = perRequest;
    this.#entries = entries;
    this.#mostRows = mostRows;
    this.#nextWay = nextWay;
    this.#ways = new Uint32Array(rows);
    this.#nextRow = new Int32Array(rows);
    this.#lastRow = new Int32Array(rows);
    this.#left = new Int32Array(requests).fill(perRequest);
    this.#refused = new Uint8Array(requests);
    this.#groups = new Int32Array(mostRows.length).fill(NONE);
    this.#groupEnds = new Int32Array(mostRows.length).fill(NONE);
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
  goOn(entry: number, level: number): boolean {
    const request = this.requestOf(entry);
    let left = this.#left[request] ?? 0;
    for (let row = entry; row !== NONE; ) {
      const next = this.#nextRow[row] ?? NONE;
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

  /** The entries grouped for a level since the last call, chained by `next`; NONE: none. */
  takeGroup(level: number): number {
    const first = this.#groups[level] ?? NONE;
    this.#groups[level] = NONE;
    this.#groupEnds[level] = NONE;
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

  /** Rows of an entry in their order; NONE for each row of a shadow. */
  of(entry: number): number[] {
    if (this.#entries.isShadow(entry)) return new Array<number>(this.#entries.sizes[entry] ?? 0).fill(NONE);
    const rows: number[] = [];
    for (let row = entry; row !== NONE; row = this.#nextRow[row] ?? NONE) rows.push(row);
    return rows;
  }

  /** Puts a row to the others of its request that go to the same level, no more than the level takes at once. */
  #group(row: number, level: number): void {
    const { sizes, next } = this.#entries;
    this.#nextRow[row] = NONE;
    const end = this.#groupEnds[level] ?? NONE;
    const endRows = end === NONE ? 0 : (sizes[end] ?? 0);
    if (end !== NONE && endRows < (this.#mostRows[level] ?? 1)) {
      this.#nextRow[this.#lastRow[end] ?? end] = row;
      this.#lastRow[end] = row;
      sizes[end] = endRows + 1;
      return;
    }
    sizes[row] = 1;
    next[row] = NONE;
    this.#lastRow[row] = row;
    if (end === NONE) this.#groups[level] = row;
    else next[end] = row;
    this.#groupEnds[level] = row;
  }
}

/** Place of the lowest bit that is set. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
