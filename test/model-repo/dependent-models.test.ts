/** Models made of models: load order, reloads of parts, unloads of parts, cycles. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeModel, FakeWorld, gate, rows, settle } from "./support/fake-world.ts";

const NO_PARAMETERS = new Map();

/** top is made of small and large; alone stands alone. */
function cascadeWorld(): FakeWorld {
  const world = new FakeWorld();
  world.disk.set("top", { versions: { 1: "t" }, parts: ["small", "large"] });
  world.disk.set("small", { versions: { 1: "s" } });
  world.disk.set("large", { versions: { 1: "l" } });
  world.disk.set("alone", { versions: { 1: "a" } });
  return world;
}

describe("models made of models", () => {
  it("load after their parts, whatever the order on disk", async () => {
    const world = cascadeWorld();
    const repository = world.repository({ controlMode: "none" });
    const report = await repository.start();
    assert.deepEqual(report.failures, []);
    assert.ok(world.events.indexOf("load top:1=t") > world.events.indexOf("load large:1=l"));
    const top = repository.lookup("top", "") as FakeModel;
    assert.deepEqual(top.parts, [repository.lookup("small", ""), repository.lookup("large", "")]);
    await repository.close();
    const closes = world.events.filter((event) => event.startsWith("close"));
    assert.ok(closes.indexOf("close top:1=t") < closes.indexOf("close small:1=s"));
  });

  it("bring their parts along when loaded by name", async () => {
    const world = cascadeWorld();
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    await repository.load("top", NO_PARAMETERS);
    assert.deepEqual(rows(await repository.index(false)), ["alone", "large:1 READY", "small:1 READY", "top:1 READY"]);
  });

  it("fail with the reason of the part that failed", async () => {
    const world = cascadeWorld();
    world.failing.set("large:1", "too large");
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    await assert.rejects(repository.load("top", NO_PARAMETERS), {
      code: "INVALID_ARGUMENT",
      message: /^load failed for model 'top': model 'top' depends on 'large' which has no loaded version\. .*too large/,
    });
    assert.deepEqual(repository.readyVersions("small"), ["1"]);
    world.failing.clear();
    await repository.load("large", NO_PARAMETERS);
    assert.deepEqual(repository.readyVersions("top"), ["1"]);
  });

  it("name the cycle when they are made of each other", async () => {
    const world = new FakeWorld();
    world.disk.set("a", { versions: { 1: "x" }, parts: ["b"] });
    world.disk.set("b", { versions: { 1: "x" }, parts: ["c"] });
    world.disk.set("c", { versions: { 1: "x" }, parts: ["a"] });
    world.disk.set("user", { versions: { 1: "x" }, parts: ["a"] });
    const report = await world.repository({ controlMode: "none" }).start();
    const reasons = new Map(report.failures.map(({ name, reason }) => [name, reason]));
    assert.equal(reasons.get("a"), "models are made of each other: a -> b -> c -> a");
    assert.match(reasons.get("user") ?? "", /depends on 'a' which has no loaded version/);
  });

  it("follow a part that is reloaded, and the old part closes last", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    world.disk.set("small", { versions: { 1: "s2" } });
    world.events.length = 0;
    await repository.load("small", NO_PARAMETERS);
    await settle();
    assert.deepEqual(world.events, ["load small:1=s2", "load top:1=t", "close top:1=t", "close small:1=s"]);
    const top = repository.lookup("top", "") as FakeModel;
    assert.equal(top.parts[0], repository.lookup("small", ""));
  });

  it("stay as they are when a part is loaded unchanged or its reload fails", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    const top = repository.lookup("top", "");
    await repository.load("small", NO_PARAMETERS);
    world.disk.set("small", { versions: { 1: "s2" } });
    world.failing.set("small:1", "no");
    await assert.rejects(repository.load("small", NO_PARAMETERS));
    assert.equal(repository.lookup("top", ""), top);
    assert.equal(repository.isReady(true), true);
  });

  it("stop serving when they cannot follow a reloaded part", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    world.disk.set("small", { versions: { 1: "s2" } });
    world.failing.set("top:1", "does not fit");
    await repository.load("small", NO_PARAMETERS);
    await settle();
    assert.match(rows(await repository.index(false)).at(-1) ?? "", /^top:1 UNAVAILABLE \(.*does not fit/s);
    assert.ok(world.events.indexOf("close top:1=t") < world.events.indexOf("close small:1=s"));
  });

  it("stop serving when they cannot be read any more and a part is replaced", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    world.disk.set("small", { versions: { 1: "s2" } });
    world.disk.set("top", { versions: { 1: "t" }, config: "broken", parts: ["small", "large"] });
    await repository.load("small", NO_PARAMETERS);
    await settle();
    assert.match(rows(await repository.index(false)).at(-1) ?? "", /^top:1 UNAVAILABLE \(.*config is broken/s);
    assert.ok(world.events.indexOf("close top:1=t") < world.events.indexOf("close small:1=s"));
  });

  it("stop serving over a part that is replaced, also where the files name other parts by now and do not load", async () => {
    const world = cascadeWorld();
    world.disk.set("outer", { versions: { 1: "o" }, parts: ["top"] });
    const repository = world.repository();
    await repository.start();
    world.disk.set("small", { versions: { 1: "s2" } });
    world.disk.set("top", { versions: { 1: "t2" }, parts: [] });
    world.failing.set("top:1", "no policy");
    await repository.load("small", NO_PARAMETERS);
    await settle();
    assert.equal(repository.isModelReady("top", ""), false);
    assert.equal(repository.isModelReady("outer", ""), false);
    const closes = world.events.filter((event) => event.startsWith("close"));
    assert.deepEqual(closes, ["close outer:1=o", "close top:1=t", "close small:1=s"]);
    const index = rows(await repository.index(false)).join();
    assert.match(index, /outer:1 UNAVAILABLE \(.* depends on 'top' which has no loaded version.*top:1 .* no policy/s);
    world.failing.clear();
    world.disk.set("top", { versions: { 1: "t3" }, parts: ["small", "large"] });
    await repository.load("top", NO_PARAMETERS);
    assert.equal(repository.isModelReady("outer", ""), true);
  });

  it("go with a part that serves them, also after a failed reload that no longer names it", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    world.disk.set("top", { versions: { 1: "t2" }, parts: ["large"] });
    world.failing.set("top:1", "no");
    await assert.rejects(repository.load("top", NO_PARAMETERS));
    assert.equal(repository.isModelReady("top", ""), true);
    await repository.unload("small", NO_PARAMETERS);
    await settle();
    assert.equal(repository.isModelReady("top", ""), false);
    assert.ok(world.events.indexOf("close top:1=t") < world.events.indexOf("close small:1=s"));
  });

  it("go on serving over unchanged parts when their new files name a model that is not there", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    const top = repository.lookup("top", "");
    world.disk.set("top", { versions: { 1: "t2" }, parts: ["small", "huge"] });
    await assert.rejects(repository.load("top", NO_PARAMETERS), /depends on 'huge' which has no loaded version/);
    assert.equal(repository.lookup("top", ""), top);
  });

  it("follow when whole and part have changed places, whichever is loaded first", async () => {
    const world = cascadeWorld();
    const repository = world.repository({ controlMode: "poll" });
    await repository.start();
    world.disk.set("small", { versions: { 1: "s2" }, parts: ["top"] });
    world.disk.set("top", { versions: { 1: "t2" } });
    await world.clock.advance(2_500);
    await settle();
    assert.deepEqual((repository.lookup("small", "") as FakeModel).parts, [repository.lookup("top", "")]);
    const closes = world.events.filter((event) => event.startsWith("close"));
    assert.deepEqual(closes, ["close top:1=t", "close small:1=s"]);
    await repository.close();
  });

  it("say why they stop serving over a part that came after them in the order on disk", async () => {
    const world = cascadeWorld();
    world.disk.set("outer", { versions: { 1: "o" }, parts: ["top"] });
    const repository = world.repository({ controlMode: "poll" });
    await repository.start();
    world.disk.set("top", { versions: { 1: "t2" }, parts: [] });
    world.disk.set("small", { versions: { 1: "s2" } });
    world.failing.set("top:1", "no policy");
    await world.clock.advance(2_500);
    await settle();
    const index = rows(await repository.index(false)).join();
    assert.match(index, /outer:1 UNAVAILABLE \(.* depends on 'top' which has no loaded version.*top:1 .* no policy/s);
    await repository.close();
  });

  it("close before a part that is unloaded while they still answer what they have in hand", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    const inHand = gate();
    world.closeGates.set("top:1", inHand.promise);
    await repository.unload("top", NO_PARAMETERS);
    await repository.unload("small", NO_PARAMETERS);
    await settle();
    assert.equal(world.events.includes("close small:1=s"), false);
    inHand.open();
    await settle();
    assert.deepEqual(world.events.slice(-2), ["close top:1=t", "close small:1=s"]);
  });

  it("go with a part that is unloaded and come back with it", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    await repository.unload("small", NO_PARAMETERS);
    await settle();
    assert.ok(world.events.indexOf("close top:1=t") < world.events.indexOf("close small:1=s"));
    assert.equal(repository.isModelReady("top", ""), false);
    assert.equal(repository.isReady(true), true);
    await repository.load("small", NO_PARAMETERS);
    assert.equal(repository.isModelReady("top", ""), true);
  });

  it("stay away when they were unloaded themselves meanwhile", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    await repository.unload("small", NO_PARAMETERS);
    await repository.unload("top", NO_PARAMETERS);
    await repository.load("small", NO_PARAMETERS);
    assert.equal(repository.isModelReady("top", ""), false);
  });

  it("wait for all parts, without loading those that were unloaded", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    await repository.unload("small", NO_PARAMETERS);
    await repository.unload("large", NO_PARAMETERS);
    await repository.load("small", NO_PARAMETERS);
    assert.equal(repository.isModelReady("large", ""), false);
    assert.equal(repository.isReady(true), true);
    await repository.load("large", NO_PARAMETERS);
    assert.equal(repository.isModelReady("top", ""), true);
  });

  it("leave their parts loaded, or with unload_dependents take those along that nobody else wants", async () => {
    const world = cascadeWorld();
    const repository = world.repository({ loadModels: ["large"] });
    await repository.start();
    await repository.load("top", NO_PARAMETERS);
    await repository.unload("top", NO_PARAMETERS);
    assert.equal(repository.isModelReady("small", ""), true);
    await repository.load("top", NO_PARAMETERS);
    await repository.unload("top", new Map([["unload_dependents", { kind: "bool", value: true }]]));
    assert.equal(repository.isModelReady("small", ""), false);
    assert.equal(repository.isModelReady("large", ""), true);
  });

  it("load and unload in any mixture without getting stuck", async () => {
    const world = cascadeWorld();
    const repository = world.repository();
    await repository.start();
    const names = ["top", "small", "large", "alone"];
    const changes = Array.from({ length: 64 }, (_, i) => {
      const name = names[(i * 7) % names.length] ?? "top";
      if (i % 5 === 0) world.disk.set("small", { versions: { 1: `s${i}` } });
      return (i % 3 === 0 ? repository.unload : repository.load).call(repository, name, NO_PARAMETERS);
    });
    await Promise.all(changes);
    await repository.load("top", NO_PARAMETERS);
    await settle();
    const top = repository.lookup("top", "") as FakeModel;
    assert.deepEqual(top.parts, [repository.lookup("small", ""), repository.lookup("large", "")]);
    await repository.close();
    const loads = world.events.filter((event) => event.startsWith("load")).length;
    assert.equal(world.events.length, 2 * loads);
  });
});
