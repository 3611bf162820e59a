/** Each job about a graph is a process of its own, which takes a second. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { it } from "node:test";
import { profileGraph } from "../../../cli/profile/graph-profile.ts";
import { oneIf, row } from "../../model-repo/graph/models.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

it("says why a model cannot be cut", async (context) => {
  const folder = await temporaryFiles(context, { "model.onnx": oneIf() });
  const notes: string[] = [];
  const { cuts } = await profileGraph({
    modelPath: join(folder, "model.onnx"),
    weightBytes: 0,
    feed: [...row(), { name: "flag", datatype: "BOOL", shape: [], data: Uint8Array.of(1) }],
    batchSize: 1,
    threadsByClass: new Map([["core", 1]]),
    signal: AbortSignal.timeout(60_000),
    note: (text) => notes.push(text),
  });
  assert.deepEqual(cuts, []);
  assert.deepEqual(notes, [
    "it cannot be cut: all its work is inside one node, 'If_y' (If), and nodes are not cut inside",
  ]);
});
