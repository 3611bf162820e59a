/** What a model takes and gives, as its clients see it. */
import type { DataType } from "../proto/datatypes.ts";

export interface TensorSpec {
  readonly name: string;
  readonly datatype: DataType;
  /** Dimensions without the batch dimension; -1 is any size. */
  readonly dims: readonly number[];
  /** A request may leave this input out. */
  readonly optional?: boolean;
}

export interface ModelSignature {
  readonly name: string;
  readonly version: string;
  /** 0: the model does not batch and shapes carry no batch dimension. */
  readonly maxBatchSize: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Shape on the wire: the dims, after a -1 for the batch where the model batches. */
export function wireShape(signature: ModelSignature, spec: TensorSpec): readonly number[] {
  return signature.maxBatchSize > 0 ? [-1, ...spec.dims] : spec.dims;
}
