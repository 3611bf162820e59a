/** Damaged models: every one is refused by name or cut into stages that can be read and hold each node once. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { cutCandidates } from "../../../planner/partition/cut-candidates.ts";
import { toCutGraph } from "../../../planner/partition/cut-graph.ts";
import { stageGraphs, type TensorTypes } from "../../../planner/partition/stage-graph.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { readGraph } from "../../../proto/onnx/read-graph.ts";
import { graphRanges, joinChunks, withNodeNames, writeModel } from "../../../proto/onnx/write-graph.ts";
import { controlFlow, encoder } from "../../model-repo/graph/models.ts";
import { dice, mutate } from "../../proto/codec/mutations.ts";

/** Throws what the file is refused with. */
function cutUp(bytes: Buffer): void {
  const graph = readGraph(bytes, "m.onnx");
  assert.deepEqual(
    readGraph(joinChunks(writeModel(graph, graphRanges(graph))), "copy").nodes.map((node) => node.outputs),
    graph.nodes.map((node) => node.outputs),
  );
  const names = readGraph(joinChunks(withNodeNames(graph)), "named").nodes.map((node) => node.name);
  assert.equal(new Set(names).size, graph.nodes.length);
  const cut = toCutGraph(graph);
  const { candidates } = cutCandidates(cut);
  const types: TensorTypes = new Map(cut.tensors.map(({ name }) => [name, { datatype: "FP32", shape: [null] }]));
  const positions = candidates.map((candidate) => candidate.position);
  const stages = stageGraphs(graph, cut, positions, types).map((stage) => readGraph(joinChunks(stage.chunks), "stage"));
  const written = stages.flatMap((stage) => stage.nodes.flatMap((node) => node.outputs));
  for (const node of cut.nodes) {
    for (const name of node.writes) assert.equal(written.filter((other) => other === name).length, 1, name);
  }
}

it("1,000 damaged models are refused or cut", () => {
  const roll = dice(11);
  const models = [controlFlow(), encoder(1)];
  let cut = 0;
  const refusals = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    const bytes = mutate(Buffer.from(models[i % 2] ?? ""), roll);
    try {
      cutUp(bytes);
      cut++;
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      assert.equal(error.code, "INVALID_ARGUMENT", error.message);
      assert.match(error.message, /'(m\.onnx)'/);
      refusals.add(error.message.replace(/'[^']*'|\d+/g, "."));
    }
  }
  assert.ok(cut > 100, `${cut} were cut`);
  assert.ok(refusals.size > 5, [...refusals].join("\n"));
});
