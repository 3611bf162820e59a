/**
 * Models cut into stages, run by the real runtime against the whole model. Every job about a graph is a process of its
 * own, so these tests take seconds.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { controlFlow, encoder, oneIf, row, tokens } from "./models.ts";
import { compareStaged, cutModel, evenCuts } from "./staged.ts";

describe("stages give what the whole model gives, to the bit", () => {
  for (const optimise of ["basic", "extended"] as const) {
    it(`encoder, optimised (${optimise}), then cut into 2, 4 and 8`, async (context) => {
      const model = await cutModel(context, encoder(4), tokens(), { optimise });
      for (const stages of [2, 4, 8]) {
        const compared = await compareStaged(model, evenCuts(model, stages));
        assert.equal(compared.stages.length, stages);
        assert.deepEqual(compared.outputs, [{ name: "y", isBitIdentical: true, maxAbs: 0 }]);
      }
    });
  }

  it("If, Loop, captures and a local function, cut as they are into 2, 4 and 8", async (context) => {
    const model = await cutModel(context, controlFlow(), row());
    for (const stages of [2, 4, 8]) {
      const compared = await compareStaged(model, evenCuts(model, stages));
      assert.deepEqual(compared.outputs, [{ name: "y", isBitIdentical: true, maxAbs: 0 }]);
    }
  });
});

it("a model whose work is inside one If is reported as one that cannot be cut", async (context) => {
  const model = await cutModel(context, oneIf(), [
    ...row(),
    { name: "flag", datatype: "BOOL", shape: [], data: Uint8Array.of(1) },
  ]);
  assert.deepEqual(model.candidates, {
    candidates: [],
    uncuttable: "all its work is inside one node, 'If_y' (If), and nodes are not cut inside",
  });
});
