import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stage } from "../../../planner/fleet.ts";
import { explainPlacement, oneMoreDevice } from "../../../planner/placement/explain.ts";
import { type PlacementResult, place } from "../../../planner/placement/place.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage, unitLevels } from "./sample-problems.ts";

const WATTS = { bare: 5, idle: 20, active: 100, source: "test" };

test("time binds: the class, its busy devices; one more device adds its part", async () => {
  const sample = problem({ levels: unitLevels([1, 1], [1, 1]), devices: devices("a", 4), utilisationCap: 0.8 });
  const result = await placed(sample);
  const { binding, placements } = explainPlacement(sample, result);
  assert.match(
    binding.join("\n"),
    /time of class 'a': 4 of 4 devices are 80 % busy at \S+ requests\/s, the utilisation cap; 100 % of the rate/,
  );
  assert.equal(placements.length, result.fleet.replicas.length);
  assert.match(placements[0] ?? "", /'m0\.0' on a-0000\d: copy 1 of 2 .*: one device carries 0\.8 of 1\.6 requests\/s/);
  const [gain] = await oneMoreDevice(sample, result, null);
  assert.equal(gain?.gain, "0.4 requests/s more (25 %)");
});

test("memory binds: the stage that more copies of would help, and what is free", async () => {
  // The heavy stage fills a device; the other device has time left but no room.
  const sample = problem({ levels: unitLevels([2, 0.1], [10, 8]), devices: devices("a", 2) });
  const { binding } = explainPlacement(sample, await placed(sample));
  assert.match(
    binding.join("\n"),
    /memory of class 'a': more copies of 'm0\.0' would help, 'm0\.0' takes 10 B, at most 8 B is free/,
  );
});

test("the latency objective binds: what slower choices could reach", async () => {
  const cheap = option([stage("slow.0", 1, 1, { a: 1 })]);
  const fast = option([0, 1, 2].map((s) => stage(`fast.${s}`, 0.2, 1, { a: 1 })));
  const dear = { ...fast, meanRows: 0.1 };
  const slo = { latencyMs: 900, percentile: 0.99 };
  const sample = problem({ levels: [level("m", [cheap, dear])], slo, utilisationCap: 0.05, devices: devices("a", 9) });
  const { binding } = explainPlacement(sample, await placed(sample));
  assert.match(
    binding.join("\n"),
    /latency objective: 900 ms leaves choices of about 6\d\d ms; slower ones could reach/,
  );
});

test("a link binds where handing over takes a tenth of a stage's time", async () => {
  const slow = (id: string): Stage => ({ ...stage(id, 0.1, 1, { a: 1 }), outputBytesPerRow: 1e6 });
  const link = { bytesPerMs: 1e4, latencyMs: 0 };
  const sample = problem({
    levels: [level("m", [option([slow("m.0"), slow("m.1")])])],
    links: { sameNode: link, betweenNodes: link },
  });
  const result = await placed(sample);
  const { binding, placements } = explainPlacement(sample, result);
  assert.match(binding.join("\n"), /link: handing over what 'm\.0' computed takes 50 % of its device's time/);
  assert.doesNotMatch(binding.join("\n"), /link: .*'m\.1'/);
  assert.match(placements[0] ?? "", /hands over within node n0/);
});

test("energy: the rate, and whether time or memory keeps devices on", async () => {
  const base = { objective: "energy" as const, classes: [deviceClass("a", 16, WATTS)], devices: devices("a", 6) };
  const byTime = problem({ ...base, levels: unitLevels([1, 1], [1, 1]), rate: 1.4 });
  assert.match(
    explainPlacement(byTime, await placed(byTime)).binding.join("\n"),
    /time: the load fills 2\.8 devices .*, 3 are in use/,
  );
  const byMemory = problem({ ...base, levels: unitLevels([0.1, 0.1], [10, 10]), rate: 1 });
  const result = await placed(byMemory);
  const { binding } = explainPlacement(byMemory, result);
  assert.match(binding.join("\n"), /memory: the load alone would fill 1 device, 2 are in use .*20 B of 32 B taken/);
  const [gain] = await oneMoreDevice(byMemory, result, null);
  assert.match(gain?.gain ?? "", /no watts less/);
});

async function placed(sample: PlacementProblem): Promise<PlacementResult> {
  const result = await place(sample, null);
  assert.ok(result.kind === "placed", JSON.stringify(result));
  return result;
}
