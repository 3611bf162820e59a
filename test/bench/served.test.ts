/** What a server's metrics say it ran. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseServedCounts, servedBetween } from "../../bench/served.ts";

const BEFORE = `# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="l",version="1"} 10
nv_inference_exec_count{model="l",version="1"} 5
nv_inference_count{model="xs",version="1"} 3
nv_inference_exec_count{model="xs",version="1"} 3
nv_inference_pending_request_count{model="l",version="1"} 7
`;

test("counters are read by model and added up over versions", () => {
  const counts = parseServedCounts(`${BEFORE}nv_inference_count{model="l",version="2"} 1e3\n`);
  assert.deepEqual(counts.get("l"), { rows: 1010, executions: 5 });
  assert.deepEqual(counts.get("xs"), { rows: 3, executions: 3 });
});

test("the difference leaves out models that stood still", () => {
  const after = BEFORE.replace("} 10\n", "} 74\n").replace("} 5\n", "} 7\n");
  const served = servedBetween(parseServedCounts(BEFORE), parseServedCounts(after));
  assert.deepEqual([...served], [["l", { rows: 64, executions: 2 }]]);
});
