/** Memory of stages: weights, shared ones once a stage, and the largest activations of its nodes. */
import type { SharedWeight } from "./cut-graph.ts";

export interface NodeSizes {
  readonly weightBytes: readonly number[];
  readonly sharedWeights?: readonly SharedWeight[];
  readonly activationBytes?: readonly number[];
}

/** Parts are what lies between neighbouring borders; a stage is a run of parts. */
export class StageMemory {
  readonly #ownBytes: readonly number[];
  readonly #peakBytes: readonly number[];
  /** Places in `sharedWeights` of what each part uses. */
  readonly #shared: readonly (readonly number[])[];
  readonly #sharedWeights: readonly SharedWeight[];

  /** `borders` are node positions, ascending, 0 and the number of nodes included. */
  constructor({ weightBytes, sharedWeights = [], activationBytes = [] }: NodeSizes, borders: readonly number[]) {
    const parts = borders.slice(0, -1).map((from, k) => ({ from, to: borders[k + 1] ?? from }));
    this.#ownBytes = parts.map(({ from, to }) => weightBytes.slice(from, to).reduce((a, b) => a + b, 0));
    this.#peakBytes = parts.map(({ from, to }) => activationBytes.slice(from, to).reduce((a, b) => Math.max(a, b), 0));
    this.#sharedWeights = sharedWeights;
    const shared = parts.map((): number[] => []);
    sharedWeights.forEach(({ nodes }, weight) => {
      let part = 0;
      let last = -1;
      for (const node of nodes) {
        while ((borders[part + 1] ?? Number.POSITIVE_INFINITY) <= node) part++;
        if (part !== last) shared[part]?.push(weight);
        last = part;
      }
    });
    this.#shared = shared;
  }

  /** A stage of the parts from `from` to `to`, the end excluded. */
  of(from: number, to: number): { readonly weightBytes: number; readonly memoryBytes: number } {
    const shared = new Set(this.#shared.slice(from, to).flat());
    let weightBytes = this.#ownBytes.slice(from, to).reduce((a, b) => a + b, 0);
    for (const weight of shared) weightBytes += this.#sharedWeights[weight]?.bytes ?? 0;
    const peak = this.#peakBytes.slice(from, to).reduce((a, b) => Math.max(a, b), 0);
    return { weightBytes, memoryBytes: weightBytes + peak };
  }

  /**
   * The border that a stage from each border can reach within the limit; the border itself where not even one part
   * fits. A window slides over the parts, since what a stage needs never shrinks when it grows.
   */
  reach(limitBytes: number): Int32Array {
    const parts = this.#ownBytes.length;
    const reach = new Int32Array(parts + 1).fill(parts);
    const uses = new Int32Array(this.#sharedWeights.length);
    let weightBytes = 0;
    let end = 0;
    /** Parts of the window whose peak no later part reaches: the first holds the largest. */
    let peaks: number[] = [];
    for (let start = 0; start < parts; start++) {
      if (end < start) end = start;
      while (end < parts) {
        const peak = this.#peakBytes[end] ?? 0;
        const largest = Math.max(peak, this.#peakBytes[peaks[0] ?? end] ?? 0);
        const added = this.#addedBytes(end, uses);
        if (weightBytes + added + largest > limitBytes) break;
        weightBytes += added;
        for (const weight of this.#shared[end] ?? []) uses[weight] = (uses[weight] ?? 0) + 1;
        peaks = [...peaks.filter((part) => (this.#peakBytes[part] ?? 0) > peak), end];
        end++;
      }
      reach[start] = end;
      if (end === start) continue;
      weightBytes -= this.#ownBytes[start] ?? 0;
      for (const weight of this.#shared[start] ?? []) {
        const left = (uses[weight] ?? 0) - 1;
        uses[weight] = left;
        if (left === 0) weightBytes -= this.#sharedWeights[weight]?.bytes ?? 0;
      }
      if (peaks[0] === start) peaks = peaks.slice(1);
    }
    return reach;
  }

  /** What a part adds to a window that uses shared weights so often. */
  #addedBytes(part: number, uses: Int32Array): number {
    let added = this.#ownBytes[part] ?? 0;
    for (const weight of this.#shared[part] ?? []) {
      if (uses[weight] === 0) added += this.#sharedWeights[weight]?.bytes ?? 0;
    }
    return added;
  }
}
