/** Plans in the repository: what is loaded anew when another one is in force. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModelPlacement, PlacementSource } from "../../model-repo/plan/placement.ts";
import { FakeWorld } from "./support/fake-world.ts";

function placement(fingerprint: string): ModelPlacement {
  const batch = { max: 1, preferred: [], maxQueueDelayUs: 0 };
  return { modelHash: "", batch, stages: [], golden: undefined, fingerprint };
}

/** A plan that names model `a`; `fingerprint` may change. */
class ChangingPlan implements PlacementSource {
  fingerprint = "before";

  placementOf(model: string): ModelPlacement | undefined {
    return model === "a" ? placement(this.fingerprint) : undefined;
  }

  cascadePlacementOf(): undefined {
    return undefined;
  }
}

function worldOf(plan: PlacementSource) {
  const world = new FakeWorld();
  world.disk.set("a", { versions: { 1: "x" } });
  world.disk.set("b", { versions: { 1: "x" } });
  return { world, repository: world.repository({ placements: plan }) };
}

test("another placement loads the model anew, the new one before the old one goes; others stay", async () => {
  const plan = new ChangingPlan();
  const { world, repository } = worldOf(plan);
  await repository.start();
  world.events.length = 0;
  assert.deepEqual(await repository.reload(["a", "b"]), []);
  assert.deepEqual(world.events, []);
  plan.fingerprint = "after";
  assert.deepEqual(await repository.reload(["a", "b"]), []);
  await repository.close();
  assert.deepEqual(world.events.slice(0, 2), ["load a:1=x", "close a:1=x"]);
});

test("a model whose load was under way when the plan was replaced is loaded by the new one, too", async () => {
  const plan = new ChangingPlan();
  const { world, repository } = worldOf(plan);
  let open = (): void => undefined;
  world.loadGates.set(
    "a:1",
    new Promise<void>((resolve) => {
      open = resolve;
    }),
  );
  const started = repository.start();
  while (!world.events.includes("load a:1=x")) await new Promise((resolve) => setImmediate(resolve));
  plan.fingerprint = "after";
  open();
  await started;
  world.events.length = 0;
  await repository.reload(["a"]);
  assert.equal(world.events[0], "load a:1=x");
});

test("models that are not served are left alone", async () => {
  const { world, repository } = worldOf(new ChangingPlan());
  world.failing.set("a:1", "no");
  await repository.start();
  world.events.length = 0;
  assert.deepEqual(await repository.reload(["a", "unknown"]), []);
  assert.deepEqual(world.events, []);
});

test("nothing is loaded anew while the repository closes", async () => {
  const plan = new ChangingPlan();
  const { world, repository } = worldOf(plan);
  await repository.start();
  let open = (): void => undefined;
  world.closeGates.set(
    "b:1",
    new Promise<void>((resolve) => {
      open = resolve;
    }),
  );
  const closed = repository.close();
  plan.fingerprint = "after";
  world.events.length = 0;
  assert.deepEqual(await repository.reload(["a"]), []);
  open();
  await closed;
  assert.deepEqual(world.events, ["close a:1=x", "close b:1=x"]);
});
