/** When a reloaded version goes on with the state of the one before: as it takes its place, not as it loads. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { type FakeModel, FakeWorld, gate, settle } from "./support/fake-world.ts";

it("a version takes over at the moment that it answers, however long others of its load take", async () => {
  const world = new FakeWorld();
  world.disk.set("m", { versions: { 1: "x", 2: "x" }, policy: { all: {} } });
  const repository = world.repository();
  await repository.start();
  assert.deepEqual(world.takeOvers, [], "nothing served before");
  world.disk.set("m", { versions: { 1: "y", 2: "y" }, policy: { all: {} } });
  const slow = gate();
  world.loadGates.set("m:2", slow.promise);
  const reloaded = repository.load("m", new Map());
  await settle();
  assert.ok(world.events.includes("load m:1=y"));
  assert.deepEqual(world.takeOvers, []);
  assert.equal((repository.lookup("m", "1") as FakeModel).label, "m:1=x");
  slow.open();
  await reloaded;
  assert.deepEqual(world.takeOvers, ["m:1=y from m:1=x", "m:2=y from m:2=x"]);
});

it("a version that is given up takes nothing over", async () => {
  const world = new FakeWorld();
  world.disk.set("m", { versions: { 1: "x", 2: "x" }, policy: { all: {} } });
  const repository = world.repository();
  await repository.start();
  world.disk.set("m", { versions: { 1: "y", 2: "y" }, policy: { all: {} } });
  world.failing.set("m:2", "no");
  await assert.rejects(repository.load("m", new Map()));
  assert.deepEqual(world.takeOvers, []);
});
