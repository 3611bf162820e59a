import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeImage } from "../../../cli/dataset/image-file.ts";
import { channelsLast, pngDataUri } from "../../../cli/report/png.ts";

function decoded(uri: string, channels: 1 | 3): number[] {
  const [head, body = ""] = uri.split(",");
  assert.equal(head, "data:image/png;base64");
  return [...decodeImage(Buffer.from(body, "base64"), channels, "test.png")];
}

describe("pngDataUri", () => {
  it("keeps gray pixels, of a view too", () => {
    const memory = Uint8Array.of(9, 9, 0, 128, 255, 7, 1, 2);
    assert.deepEqual(decoded(pngDataUri(memory.subarray(2), [2, 3]), 1), [0, 128, 255, 7, 1, 2]);
    assert.deepEqual(decoded(pngDataUri(memory.subarray(2), [3, 2, 1]), 1), [0, 128, 255, 7, 1, 2]);
  });

  it("keeps colours", () => {
    const planes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const pixels = channelsLast(planes, 3, 2);
    assert.deepEqual([...pixels], [1, 3, 5, 2, 4, 6]);
    assert.deepEqual(decoded(pngDataUri(pixels, [1, 2, 3]), 3), [...planes]);
  });

  it("refuses what is no picture", () => {
    for (const shape of [[4], [2, 2, 2], [0, 4], [2, 3], [1, 2, 2, 1]]) {
      assert.throws(() => pngDataUri(new Uint8Array(4), shape), /no picture/, `${shape}`);
    }
  });
});
