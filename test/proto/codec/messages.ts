/** Random messages of the inference protocol, for the codec's property tests. */
import fc from "fast-check";
import { type DataType, ELEMENT_BYTES } from "../../../proto/datatypes.ts";
import type { InferenceRequest, InferenceResponse, Parameter, Parameters } from "../../../proto/inference.ts";
import { NO_PARAMETERS } from "../../../proto/inference.ts";
import type { Tensor } from "../../../proto/tensor.ts";

/** Any well-formed text, `__proto__` and friends included. */
export const texts = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
  { weight: 1, arbitrary: fc.constantFrom("__proto__", "constructor", "toString", "hasOwnProperty", "ä€😀") },
);

export const int64s = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n),
);
export const uint64s = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 2n ** 32n, 2n ** 64n - 1n),
);

const parameter: fc.Arbitrary<Parameter> = fc.oneof(
  fc.boolean().map((value) => ({ kind: "bool", value }) as const),
  int64s.map((value) => ({ kind: "int64", value }) as const),
  uint64s.map((value) => ({ kind: "uint64", value }) as const),
  texts.map((value) => ({ kind: "string", value }) as const),
  fc.double().map((value) => ({ kind: "double", value }) as const),
);

export const parameterMaps: fc.Arbitrary<Parameters> = fc
  .array(fc.tuple(texts, parameter), { maxLength: 4 })
  .map((entries) => (entries.length === 0 ? NO_PARAMETERS : new Map(entries)));

const datatypes = fc.constantFrom(...(Object.keys(ELEMENT_BYTES) as DataType[]));
const dims = fc.oneof(fc.nat(300), fc.constantFrom(0, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53 - 1)));

/** Tensors whose shape need not suit their data: the codec does not look. */
const tensors = (names: readonly string[]): fc.Arbitrary<Tensor[]> =>
  fc.tuple(
    ...names.map((name) =>
      fc.record({
        name: fc.constant(name),
        datatype: datatypes,
        shape: fc.array(dims, { maxLength: 16 }),
        data: fc.uint8Array({ maxLength: 300 }),
      }),
    ),
  );

const names = fc.uniqueArray(texts, { maxLength: 4 });

export const requests: fc.Arbitrary<InferenceRequest> = fc.record({
  modelName: texts,
  modelVersion: texts,
  id: texts,
  parameters: parameterMaps,
  inputs: names.chain(tensors),
  requestedOutputs: names.chain((list) =>
    fc.tuple(...list.map((name) => fc.record({ name: fc.constant(name), parameters: parameterMaps }))),
  ),
});

export const responses: fc.Arbitrary<InferenceResponse> = fc.record({
  modelName: texts,
  modelVersion: texts,
  id: texts,
  parameters: parameterMaps,
  outputs: names.chain(tensors),
});

/** Typed contents as a plain message, most often of one field. */
export const contentsMessages = fc.oneof(
  fc.record({ bool_contents: fc.array(fc.boolean(), { maxLength: 200 }) }),
  fc.record({ int_contents: fc.array(fc.integer(), { maxLength: 200 }) }),
  fc.record({ int64_contents: fc.array(int64s.map(String), { maxLength: 200 }) }),
  fc.record({ uint_contents: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 200 }) }),
  fc.record({ uint64_contents: fc.array(uint64s.map(String), { maxLength: 200 }) }),
  fc.record({ fp32_contents: fc.array(fc.float(), { maxLength: 200 }) }),
  fc.record({ fp64_contents: fc.array(fc.double(), { maxLength: 200 }) }),
  fc.record({ bytes_contents: fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 30 }) }),
);

/** Everything in a tensor list that two decoders can be compared by. */
export function plainTensors(tensors: readonly Tensor[]): unknown[] {
  return tensors.map((tensor) => ({
    ...tensor,
    shape: [...tensor.shape],
    data: Buffer.from(tensor.data).toString("hex"),
  }));
}
