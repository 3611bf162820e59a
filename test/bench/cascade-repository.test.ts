/** What bench/cascade.ts asks: only images that chose nothing, all of them once at every client batch. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { certifyImages, EMPTY_CASCADE, emptyRequest, imageRequests } from "../../bench/cascade-repository.ts";
import { FITTED_SHARES } from "../../planner/cascade/splits.ts";
import { decodeInferRequest } from "../../proto/codec/decode-request.ts";
import { TRITON_LIMITS } from "../../proto/limits.ts";

test("images of the certify split, in whole requests of 32", () => {
  const images = certifyImages();
  assert.equal(images.count % 32, 0);
  assert.ok(images.count > 800, `${images.count} images`);
  const bytes = images.data.byteLength / images.count;
  for (let row = 0; row < images.count; row++) {
    const hash = createHash("sha256")
      .update(images.data.subarray(row * bytes, (row + 1) * bytes))
      .digest("hex");
    const at = Number.parseInt(hash.slice(-13), 16) / 16 ** 13;
    assert.ok(at >= FITTED_SHARES.fit + FITTED_SHARES.tune, `image ${row} is at ${at}`);
  }
});

test("requests of every batch hold the same images in the same order", () => {
  const images = certifyImages();
  for (const batch of [1, 8, 32]) {
    const requests = imageRequests(images, "fashion", batch, "AP").map((message) =>
      decodeInferRequest(message, TRITON_LIMITS),
    );
    assert.equal(requests.length, images.count / batch);
    assert.deepEqual(requests[0]?.parameters.get("cascade_operating_point"), { kind: "string", value: "AP" });
    const sent = Buffer.concat(requests.map((request) => request.rawInputContents[0] ?? new Uint8Array()));
    assert.equal(Buffer.compare(sent, images.data), 0);
  }
});

test("rows of an empty request have as many scores as the level", () => {
  const request = decodeInferRequest(emptyRequest(EMPTY_CASCADE, 8, 1), TRITON_LIMITS);
  assert.deepEqual(request.inputs[0]?.shape, [8, 4]);
  assert.equal(request.rawInputContents[0]?.byteLength, 8 * 4 * 4);
});
