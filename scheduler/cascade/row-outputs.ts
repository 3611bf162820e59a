/** Collects the rows of one request from the levels that answered them and puts them back in order. */
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { elementCount, gatherRows, splitTensor, type Tensor } from "../../proto/tensor.ts";

/** Rows that one level's response answered. */
interface AnsweredRows {
  /** Position in the request of each answered row. */
  readonly rows: readonly number[];
  /** The response's outputs, and the row of them that answers each of `rows`. */
  readonly outputs: readonly Tensor[];
  readonly picked: readonly number[];
}

export class RowOutputs {
  readonly #total: number;
  readonly #parts: AnsweredRows[] = [];

  /** `total`: rows of the request. */
  constructor(total: number) {
    this.#total = total;
  }

  /** Takes `picked` rows of a level's outputs as the answers of the request's rows `rows`; they are copied in `merge`. */
  add(rows: readonly number[], outputs: readonly Tensor[], picked: readonly number[]): void {
    this.#parts.push({ rows, outputs, picked });
  }

  /** The outputs of all rows, in the order of the request; views where one level answered all of them in order. */
  merge(): readonly Tensor[] {
    const first = this.#parts[0];
    if (first === undefined) return [];
    if (this.#parts.length === 1 && first.rows.every((row, i) => row === i)) {
      return first.outputs.map((output) => gatherRows(output, first.picked));
    }
    return first.outputs.map((output, i) => this.#mergeOne(output, i));
  }

  #mergeOne(like: Tensor, index: number): Tensor {
    const trailing = like.shape.slice(1);
    for (const { outputs } of this.#parts) checkRowShape(like, trailing, outputs[index]);
    const elementBytes = ELEMENT_BYTES[like.datatype];
    const data = elementBytes > 0 ? this.#copyFixed(index, elementCount(trailing) * elementBytes) : this.#join(index);
    return { name: like.name, datatype: like.datatype, shape: [this.#total, ...trailing], data };
  }

  /** Copies rows of `rowBytes` bytes each straight to their place, neighbours that stay neighbours in one go. */
  #copyFixed(index: number, rowBytes: number): Uint8Array {
    const data = new Uint8Array(this.#total * rowBytes);
    for (const { rows, outputs, picked } of this.#parts) {
      const source = (outputs[index] as Tensor).data; // every part holds the same outputs
      for (let i = 0; i < rows.length; ) {
        const to = rows[i] as number; // i < length, of both
        const from = picked[i] as number;
        let run = 1;
        while (i + run < rows.length && rows[i + run] === to + run && picked[i + run] === from + run) run++;
        data.set(source.subarray(from * rowBytes, (from + run) * rowBytes), to * rowBytes);
        i += run;
      }
    }
    return data;
  }

  /** Joins rows of any length, which BYTES have. */
  #join(index: number): Uint8Array {
    const views = new Array<Uint8Array>(this.#total);
    for (const { rows, outputs, picked } of this.#parts) {
      const output = outputs[index] as Tensor; // every part holds the same outputs
      const parts = splitTensor(output, new Array<number>(output.shape[0] ?? 0).fill(1));
      rows.forEach((row, i) => {
        views[row] = (parts[picked[i] ?? -1] as Tensor).data; // picked are rows of the output
      });
    }
    const data = new Uint8Array(views.reduce((bytes, view) => bytes + view.byteLength, 0));
    let offset = 0;
    for (const view of views) {
      data.set(view, offset);
      offset += view.byteLength;
    }
    return data;
  }
}

function checkRowShape(like: Tensor, trailing: readonly number[], output: Tensor | undefined): void {
  if (output?.shape.length === trailing.length + 1 && trailing.every((dim, i) => dim === output.shape[i + 1])) return;
  throw new InferenceError(
    "INTERNAL",
    `levels answered output '${like.name}' with rows of different shapes, [${trailing}] and ` +
      `[${output?.shape.slice(1) ?? ""}]; their rows cannot be merged`,
  );
}
