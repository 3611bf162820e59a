/** Who waits for whom. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Limiter } from "../../model-repo/limiter.ts";
import { NameLocks } from "../../model-repo/name-locks.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("NameLocks", () => {
  it("lets overlapping work wait in order and other work go ahead", async () => {
    const locks = new NameLocks();
    const log: string[] = [];
    const begin = async (label: string, names: string[]) => {
      const release = await locks.acquire(new Set(names));
      log.push(label);
      return release;
    };
    const first = begin("ab", ["a", "b"]);
    const second = begin("bc", ["b", "c"]);
    const third = begin("c", ["c"]);
    const fourth = begin("d", ["d"]);
    await settle();
    assert.deepEqual(log, ["ab", "d"]);
    (await first)();
    await settle();
    assert.deepEqual(log, ["ab", "d", "bc"]);
    (await second)();
    (await third)();
    (await fourth)();
    assert.deepEqual(log, ["ab", "d", "bc", "c"]);
    (await begin("again", ["a", "b", "c", "d"]))();
  });
});

describe("Limiter", () => {
  it("runs at most so many at a time, and goes on after a failure", async () => {
    const limiter = new Limiter(2);
    let running = 0;
    let most = 0;
    const work = async (fails: boolean) => {
      most = Math.max(most, ++running);
      await settle();
      running--;
      if (fails) throw new Error("no");
      return "done";
    };
    const results = await Promise.allSettled(
      [true, false, true, false, false].map((fails) => limiter.run(() => work(fails))),
    );
    assert.equal(most, 2);
    assert.deepEqual(
      results.map((result) => result.status),
      ["rejected", "fulfilled", "rejected", "fulfilled", "fulfilled"],
    );
  });
});
