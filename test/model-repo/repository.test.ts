/** Loads, unloads, lookups and the index of single models, without disk and backends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeWorld, gate, rows, settle } from "./support/fake-world.ts";

const NO_PARAMETERS = new Map();

describe("start", () => {
  it("loads everything in mode none and reports what failed", async () => {
    const world = new FakeWorld();
    world.disk.set("good", { versions: { 1: "x" } });
    world.disk.set("bad", { versions: { 1: "x" } });
    world.disk.set("broken", { versions: { 1: "x" }, config: "broken" });
    world.disk.set("twice", { versions: { 1: "x" }, problem: "model appears in two or more repositories" });
    world.failing.set("bad:1", "no such file");
    const repository = world.repository({ controlMode: "none", loadModels: [] });
    const report = await repository.start();
    assert.equal(report.repositoryError, undefined);
    assert.deepEqual(rows(report.entries), [
      "bad:1 UNAVAILABLE (Internal: no such file)",
      "broken UNAVAILABLE (config is broken)",
      "good:1 READY",
      "twice UNAVAILABLE (model appears in two or more repositories)",
    ]);
    assert.deepEqual(report.failures.map(({ name }) => name).sort(), ["bad", "broken", "twice"]);
    assert.equal(repository.isReady(true), false);
    assert.equal(repository.isReady(false), true);
    await repository.close();
    assert.deepEqual(world.events.slice(-1), ["close good:1=x"]);
  });

  it("loads only what --load-model names in mode explicit", async () => {
    const world = new FakeWorld();
    for (const name of ["a", "b"]) world.disk.set(name, { versions: { 1: "x" } });
    const repository = world.repository({ loadModels: ["b", "nowhere"] });
    const report = await repository.start();
    assert.deepEqual(
      report.failures.map(({ name }) => name),
      ["nowhere"],
    );
    assert.deepEqual(rows(await repository.index(false)).slice(0, 2), ["a", "b:1 READY"]);
    assert.deepEqual(rows(await repository.index(true)), ["b:1 READY"]);
  });

  it("is neither ready nor empty when the repository cannot be read", async () => {
    const world = new FakeWorld();
    world.isReadable = false;
    const repository = world.repository();
    const report = await repository.start();
    assert.equal(report.repositoryError?.message, "the disk is gone");
    assert.equal(repository.isReady(false), false);
  });

  it("loads at most so many versions at a time and tries again as often as asked", async () => {
    const world = new FakeWorld();
    for (const name of ["a", "b", "c", "d", "e"]) world.disk.set(name, { versions: { 1: "x" } });
    world.failing.set("e:1", "no");
    await world.repository({ loadThreadCount: 2, loadRetryCount: 2 }).start();
    assert.equal(world.mostLoading, 2);
    assert.equal(world.events.filter((event) => event === "load e:1=x").length, 3);
  });

  it("warns once when the models' threads exceed the cores", async () => {
    const world = new FakeWorld();
    world.disk.set("a", { versions: { 1: "x" }, threads: 100_000 });
    const repository = world.repository();
    await repository.start();
    await repository.unload("a", NO_PARAMETERS);
    await repository.load("a", NO_PARAMETERS);
    assert.equal(world.logged.filter((text) => text.includes("100000 threads")).length, 1);
  });
});

describe("lookups", () => {
  it("finds versions and says in Triton's words why not", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x", 3: "x", 12: "x" }, policy: { all: {} } });
    world.disk.set("idle", { versions: { 1: "x" } });
    world.disk.set("bad", { versions: { 2: "x" } });
    world.failing.set("bad:2", "no");
    const repository = world.repository({ loadModels: ["m", "bad"] });
    await repository.start();
    assert.deepEqual(repository.readyVersions("m"), ["1", "3", "12"]);
    assert.equal(repository.find("m", "").version, "12");
    assert.equal(repository.find("m", "3").version, "3");
    assert.equal(repository.find("m", " 03").version, "3");
    const cases: [string, string, string, string][] = [
      ["nowhere", "", "NOT_FOUND", "Request for unknown model: 'nowhere' is not found"],
      ["idle", "1", "NOT_FOUND", "Request for unknown model: 'idle' is not found"],
      ["m", "2", "NOT_FOUND", "Request for unknown model: 'm' version 2 is not found"],
      ["m", "0", "NOT_FOUND", "Request for unknown model: 'm' version 0 is not found"],
      ["bad", "", "NOT_FOUND", "Request for unknown model: 'bad' has no available versions"],
      ["bad", "2", "UNAVAILABLE", "Request for unknown model: 'bad' version 2 is not at ready state"],
      ["__proto__", "", "NOT_FOUND", "Request for unknown model: '__proto__' is not found"],
    ];
    for (const [name, version, code, message] of cases) {
      assert.throws(() => repository.lookup(name, version), { code, message });
      assert.equal(repository.isModelReady(name, version), false);
    }
    assert.throws(() => repository.isModelReady("m", "x"), { code: "INVALID_ARGUMENT" });
    Object.assign(repository.lookup("m", "3"), { isReady: false });
    assert.deepEqual(
      ["3", "12", ""].map((version) => repository.isModelReady("m", version)),
      [false, true, true],
    );
    assert.deepEqual(
      [...repository.loaded()].map(({ name, version }) => `${name}:${version}`),
      ["m:1", "m:3", "m:12"],
    );
  });
});

describe("load", () => {
  it("is refused in the other modes before the name is looked at", async () => {
    const world = new FakeWorld();
    for (const controlMode of ["none", "poll"] as const) {
      const repository = world.repository({ controlMode });
      const refused = {
        code: "UNAVAILABLE",
        message: /^explicit model load \/ unload is not allowed if polling is enabled$/,
      };
      await assert.rejects(repository.load("", NO_PARAMETERS), refused);
      await assert.rejects(repository.unload("a", NO_PARAMETERS), refused);
      await repository.close();
    }
  });

  it("does nothing for an unchanged model and reloads a changed one, new before old", async () => {
    const world = new FakeWorld();
    const files = { versions: { 1: "x" } as Record<number, string> };
    world.disk.set("m", files);
    const repository = world.repository();
    await repository.start();
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(world.events, ["load m:1=x"]);
    files.versions[1] = "y";
    await repository.load("m", NO_PARAMETERS);
    await settle();
    assert.deepEqual(world.events, ["load m:1=x", "load m:1=y", "close m:1=x"]);
    files.versions[2] = "z";
    await repository.load("m", NO_PARAMETERS);
    await settle();
    assert.deepEqual(world.events.slice(3), ["load m:2=z", "close m:1=y"]);
    assert.deepEqual(rows(await repository.index(false)), ["m:1 UNAVAILABLE (unloaded)", "m:2 READY"]);
    assert.equal(repository.isReady(true), true);
  });

  it("keeps the old version serving when a reload fails, again and again", async () => {
    const world = new FakeWorld();
    const files = { versions: { 1: "x" } as Record<number, string> };
    world.disk.set("m", files);
    const repository = world.repository();
    await repository.start();
    const before = repository.lookup("m", "");
    files.versions[1] = "y";
    world.failing.set("m:1", "out of luck");
    for (let i = 0; i < 3; i++) {
      await assert.rejects(repository.load("m", NO_PARAMETERS), {
        code: "INVALID_ARGUMENT",
        message: "load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: out of luck;\n",
      });
      assert.equal(repository.lookup("m", ""), before);
      assert.equal(repository.isReady(true), true);
    }
    assert.equal(world.events.includes("close m:1=x"), false);
  });

  it("rolls the other new versions back when one fails", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x", 2: "x" }, policy: { all: {} } });
    world.failing.set("m:2", "no");
    const repository = world.repository();
    await repository.start();
    assert.deepEqual(rows(await repository.index(false)), [
      "m:1 UNAVAILABLE (unloaded)",
      "m:2 UNAVAILABLE (Internal: no)",
    ]);
    assert.deepEqual(world.events.slice(2), ["close m:1=x"]);
  });

  it("says what is wrong in Triton's words", async () => {
    const world = new FakeWorld();
    world.disk.set("empty", { versions: {} });
    world.disk.set("broken", { versions: { 1: "x" }, config: "broken" });
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    const cases: [string, string, string][] = [
      ["nowhere", "INTERNAL", "failed to load 'nowhere', failed to poll from model repository"],
      ["broken", "INTERNAL", "failed to load 'broken', failed to poll from model repository"],
      [
        "empty",
        "INVALID_ARGUMENT",
        "load failed for model 'empty': at least one version must be available under the version policy of model 'empty'",
      ],
      ["../x", "INVALID_ARGUMENT", "invalid model name '../x', model name must not contain path traversal characters"],
    ];
    for (const [name, code, message] of cases) {
      await assert.rejects(repository.load(name, NO_PARAMETERS), { code, message });
    }
    world.isReadable = false;
    await assert.rejects(repository.load("empty", NO_PARAMETERS), /failed to poll from model repository/);
  });

  it("queues loads of one model and lets others go ahead", async () => {
    const world = new FakeWorld();
    const files = { versions: { 1: "x" } as Record<number, string> };
    world.disk.set("slow", files);
    world.disk.set("quick", { versions: { 1: "x" } });
    const held = gate();
    world.loadGates.set("slow:1", held.promise);
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    const first = repository.load("slow", NO_PARAMETERS);
    await settle();
    assert.deepEqual(rows(await repository.index(false)), ["quick", "slow:1 LOADING"]);
    files.versions[1] = "y";
    const second = repository.load("slow", NO_PARAMETERS);
    const unload = repository.unload("slow", NO_PARAMETERS);
    await repository.load("quick", NO_PARAMETERS);
    assert.deepEqual(world.events, ["load slow:1=x", "load quick:1=x"]);
    held.open();
    await Promise.all([first, second, unload]);
    await settle();
    assert.deepEqual(world.events.slice(2), ["load slow:1=y", "close slow:1=x", "close slow:1=y"]);
  });
});

describe("overrides", () => {
  it("keeps a config override until the model is unloaded", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x" }, config: "broken" });
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    await assert.rejects(repository.load("m", NO_PARAMETERS), { code: "INTERNAL" });
    await repository.load("m", new Map([["config", { kind: "string", value: "{}" }]]));
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(world.events, ["load m:1=x"]);
    await repository.load("m", new Map([["config", { kind: "string", value: "{}" }]]));
    assert.equal(world.events.filter((event) => event.startsWith("load")).length, 2);
    await repository.unload("m", NO_PARAMETERS);
    await assert.rejects(repository.load("m", NO_PARAMETERS), { code: "INTERNAL" });
    assert.equal(repository.isReady(true), true);
  });

  it("needs a config for files, and names files that stay inside", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x" } });
    const repository = world.repository();
    await repository.start();
    const file = { kind: "bytes", value: new Uint8Array(1) } as const;
    const polled = { code: "INTERNAL", message: "failed to load 'm', failed to poll from model repository" };
    await assert.rejects(repository.load("m", new Map([["file:1/model.onnx", file]])), polled);
    const both = new Map([["config", { kind: "string", value: "{}" } as const], ["file:../x", file] as never]);
    await assert.rejects(repository.load("m", both), polled);
    assert.equal(repository.isModelReady("m", "1"), true);
  });
});

describe("unload", () => {
  it("lets requests in hand finish, then frees the model", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x" } });
    const held = gate();
    world.closeGates.set("m:1", held.promise);
    const repository = world.repository();
    await repository.start();
    await repository.unload("m", NO_PARAMETERS);
    assert.deepEqual(rows(await repository.index(false)), ["m:1 UNLOADING"]);
    assert.throws(() => repository.lookup("m", "1"), { code: "UNAVAILABLE" });
    held.open();
    await settle();
    assert.deepEqual(rows(await repository.index(false)), ["m:1 UNAVAILABLE (unloaded)"]);
    assert.equal(repository.isReady(true), true);
    await repository.unload("nowhere", NO_PARAMETERS);
  });

  it("forgives what had failed", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x" } });
    world.failing.set("m:1", "no");
    const repository = world.repository();
    await repository.start();
    assert.equal(repository.isReady(true), false);
    await repository.unload("m", NO_PARAMETERS);
    assert.equal(repository.isReady(true), true);
  });
});

describe("close", () => {
  it("waits for loads under way and for requests in hand", async () => {
    const world = new FakeWorld();
    world.disk.set("m", { versions: { 1: "x" } });
    const loading = gate();
    const closing = gate();
    world.loadGates.set("m:1", loading.promise);
    world.closeGates.set("m:1", closing.promise);
    const repository = world.repository({ loadModels: [] });
    await repository.start();
    const load = repository.load("m", NO_PARAMETERS);
    await settle();
    let isClosed = false;
    const close = repository.close().then(() => {
      isClosed = true;
    });
    await assert.rejects(repository.load("m", NO_PARAMETERS), { code: "UNAVAILABLE", message: "Server exiting" });
    loading.open();
    await load;
    await settle();
    assert.equal(isClosed, false);
    closing.open();
    await close;
    assert.deepEqual(world.events, ["load m:1=x", "close m:1=x"]);
  });
});

describe("polling", () => {
  it("loads, reloads and unloads what changes on disk, and keeps all when the disk fails", async () => {
    const world = new FakeWorld();
    const files = { versions: { 1: "x" } as Record<number, string> };
    world.disk.set("m", files);
    for (const name of ["n", "o"]) world.disk.set(name, { versions: { 1: "x" } });
    const repository = world.repository({ controlMode: "poll" });
    await repository.start();
    const ready = async () => rows(await repository.index(true)).join(", ");
    files.versions[2] = "y";
    world.disk.delete("o");
    await world.clock.advance(1000);
    await settle();
    assert.equal(await ready(), "m:1 READY, n:1 READY, o:1 READY");
    await world.clock.advance(1000);
    await settle();
    assert.equal(await ready(), "m:2 READY, n:1 READY");
    assert.deepEqual(rows(await repository.index(false)), ["m:1 UNAVAILABLE (unloaded)", "m:2 READY", "n:1 READY"]);
    world.isReadable = false;
    await world.clock.advance(20_000);
    await settle();
    assert.equal([...repository.loaded()].length, 2);
    await repository.close();
  });
});
