/** Collects the rows of one request from the levels that answered them and puts them back in order. */
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { elementCount, gatherRows, splitTensor, type Tensor } from "../../proto/tensor.ts";

/** Rows that one level's response answered. */
interface AnsweredRows {
  /** Position in the request of each answered row. */
  readonly rows: readonly number[];
  /** Their outputs, one tensor for each output, as many rows as `rows`. */
  readonly outputs: readonly Tensor[];
}

export class RowOutputs {
  readonly #total: number;
  readonly #parts: AnsweredRows[] = [];

  /** `total`: rows of the request. */
  constructor(total: number) {
    this.#total = total;
  }

  /** Takes `picked` rows of a level's outputs as the answers of the request's rows `rows`. */
  add(rows: readonly number[], outputs: readonly Tensor[], picked: readonly number[]): void {
    this.#parts.push({ rows, outputs: outputs.map((output) => gatherRows(output, picked)) });
  }

  /** The outputs of all rows, in the order of the request; views where one level answered all of them in order. */
  merge(): readonly Tensor[] {
    const first = this.#parts[0];
    if (first === undefined) return [];
    if (this.#parts.length === 1 && first.rows.every((row, i) => row === i)) return first.outputs;
    return first.outputs.map((output, i) => this.#mergeOne(output, i));
  }

  #mergeOne(like: Tensor, index: number): Tensor {
    const shape = [this.#total, ...like.shape.slice(1)];
    const views = new Array<Uint8Array>(this.#total);
    for (const part of this.#parts) {
      const output = part.outputs[index] as Tensor; // every part holds the same outputs
      if (output.shape.slice(1).join() !== like.shape.slice(1).join()) {
        throw new InferenceError(
          "INTERNAL",
          `levels answered output '${like.name}' with rows of different shapes, [${like.shape.slice(1)}] and ` +
            `[${output.shape.slice(1)}]; their rows cannot be merged`,
        );
      }
      rowViews(output).forEach((view, i) => {
        views[part.rows[i] as number] = view; // one view for each row of the part
      });
    }
    const data = new Uint8Array(views.reduce((bytes, view) => bytes + view.byteLength, 0));
    let offset = 0;
    for (const view of views) {
      data.set(view, offset);
      offset += view.byteLength;
    }
    return { name: like.name, datatype: like.datatype, shape, data };
  }
}

function rowViews(tensor: Tensor): Uint8Array[] {
  const rows = tensor.shape[0] ?? 0;
  const rowBytes = elementCount(tensor.shape.slice(1)) * ELEMENT_BYTES[tensor.datatype];
  if (ELEMENT_BYTES[tensor.datatype] > 0) {
    return Array.from({ length: rows }, (_, i) => tensor.data.subarray(i * rowBytes, (i + 1) * rowBytes));
  }
  return splitTensor(tensor, new Array<number>(rows).fill(1)).map((row) => row.data);
}
