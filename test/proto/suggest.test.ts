/** "Did you mean". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { closestName, didYouMean } from "../../proto/suggest.ts";

test("the closest name within a third of the word", () => {
  assert.equal(closestName("serv", ["validate", "serve"]), "serve");
  assert.equal(closestName("validat", ["validate", "serve"]), "validate");
  assert.equal(closestName("deploy", ["validate", "serve"]), undefined);
  assert.equal(closestName("", ["a"]), undefined);
  assert.equal(didYouMean("serv", ["serve"], "--"), '; did you mean "--serve"?');
  assert.equal(didYouMean("deploy", ["serve"]), "");
});
