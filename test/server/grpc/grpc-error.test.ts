/** Error texts on their way into a header. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InferenceError } from "../../../proto/errors.ts";
import { grpcError } from "../../../server/grpc/grpc-error.ts";

test("short texts travel unchanged, with the status of their name", () => {
  assert.deepEqual(grpcError(new InferenceError("NOT_FOUND", "no model 'ü'")), { code: 5, details: "no model 'ü'" });
  assert.deepEqual(grpcError(new InferenceError("CANCELLED", "")), { code: 1, details: "" });
  assert.equal(grpcError("a string").code, 13);
});

test("any text can be percent-encoded and fits a header; a cut falls between code points", () => {
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 5_000 });
  fc.assert(
    fc.property(units, (codes) => {
      const text = String.fromCharCode(...codes);
      const { details } = grpcError(new InferenceError("INTERNAL", text));
      assert.ok(encodeURI(details).length < 7_000);
      assert.ok(details.isWellFormed());
      const kept = details.endsWith("…") ? details.slice(0, -1) : details;
      assert.ok(text.toWellFormed().startsWith(kept));
    }),
    { numRuns: 200 },
  );
});
