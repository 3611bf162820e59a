import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { convertElements, fromNumbers, numberToHalf, readNumbers } from "../../../cli/dataset/convert.ts";
import type { DataType } from "../../../proto/datatypes.ts";
import { halfToNumber } from "../../../scheduler/confidence/floats.ts";

describe("conversion of elements", () => {
  it("writes every half as itself and rounds to the nearest, ties to even", () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const value = halfToNumber(bits);
      const next = bits === 0x7bff ? 65536 : halfToNumber(bits + 1);
      const tie = (value + next) / 2;
      assert.equal(numberToHalf(value), bits);
      assert.equal(numberToHalf(-value), bits | 0x8000);
      assert.equal(numberToHalf(tie), bits % 2 === 0 ? bits : bits + 1, `tie above ${value}`);
      assert.equal(numberToHalf(tie * (1 - 2 ** -40)), bits);
      assert.equal(numberToHalf(tie * (1 + 2 ** -40)), bits + 1);
    }
    assert.equal(numberToHalf(Number.POSITIVE_INFINITY), 0x7c00);
    assert.ok(Number.isNaN(halfToNumber(numberToHalf(Number.NaN))));
  });

  it("reads back what it wrote in every datatype", () => {
    const datatypes: DataType[] = ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"];
    for (const datatype of [...datatypes, "FP16", "FP32", "FP64", "BOOL"] as const) {
      const largest = datatype === "BOOL" ? 1 : datatype.startsWith("U") ? 200 : 100;
      const least = datatype.startsWith("U") || datatype === "BOOL" ? 0 : -100;
      const numbers = [0, 1, largest, least];
      assert.deepEqual(
        Array.from(readNumbers({ datatype, data: fromNumbers(numbers, datatype, 1) })),
        numbers,
        datatype,
      );
    }
  });

  it("reads bytes that are not aligned", () => {
    const data = new Uint8Array(9).subarray(1);
    data.set(fromNumbers([1.5, -2], "FP32", 1));
    assert.deepEqual(Array.from(readNumbers({ datatype: "FP32", data })), [1.5, -2]);
    const buffer = Buffer.alloc(9).subarray(1);
    buffer.set(data);
    assert.deepEqual(Array.from(readNumbers({ datatype: "FP32", data: buffer })), [1.5, -2]);
  });

  it("hands on the very bytes where nothing changes", () => {
    const data = fromNumbers([1, 2], "FP32", 1);
    assert.equal(convertElements({ datatype: "FP32", shape: [2], data }, "FP32", 0.5, "x"), data);
  });
});
