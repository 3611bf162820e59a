/** Order, cycles and users of models made of models. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  type DependencyGraph,
  dependenciesFirst,
  findCycle,
  orphans,
  transitiveUsers,
} from "../../model-repo/dependency-graph.ts";

function graph(parts: Record<string, string[]>): DependencyGraph {
  return new Map(Object.entries(parts));
}

describe("dependenciesFirst", () => {
  it("puts parts before users and leaves out names that are not in the graph", () => {
    assert.deepEqual(dependenciesFirst(graph({ c: ["b", "x"], a: [], b: ["a"] })), ["a", "b", "c"]);
  });

  it("orders every acyclic graph", () => {
    const edges = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 40 });
    fc.assert(
      fc.property(edges, (pairs) => {
        const parts = new Map<string, string[]>(Array.from({ length: 10 }, (_, i) => [`m${i}`, []]));
        for (const [a, b] of pairs) if (a < b) parts.get(`m${b}`)?.push(`m${a}`);
        const order = dependenciesFirst(parts);
        assert.equal(new Set(order).size, 10);
        for (const [user, names] of parts) {
          for (const name of names) assert.ok(order.indexOf(name) < order.indexOf(user));
        }
        assert.equal(findCycle(parts), undefined);
      }),
    );
  });

  it("takes a chain of 20,000 and a diamond of 2^60 paths", () => {
    const chain = new Map(Array.from({ length: 20_000 }, (_, i) => [`m${i}`, i === 0 ? [] : [`m${i - 1}`]]));
    assert.equal(dependenciesFirst(chain).length, 20_000);
    assert.equal(findCycle(chain), undefined);
    const diamonds = new Map(
      Array.from({ length: 60 }, (_, i) => [`m${i}`, i === 0 ? [] : [`m${i - 1}`, `m${i - 1}`]]),
    );
    assert.equal(findCycle(diamonds), undefined);
  });
});

describe("findCycle", () => {
  it("spells a cycle out", () => {
    assert.deepEqual(findCycle(graph({ x: ["a"], a: ["b"], b: ["c"], c: ["a"] })), ["a", "b", "c", "a"]);
  });

  it("finds a model made of itself", () => {
    assert.deepEqual(findCycle(graph({ a: ["a"] })), ["a", "a"]);
  });
});

describe("users and orphans", () => {
  const models = graph({ top: ["mid"], mid: ["low", "shared"], other: ["shared"], low: [], shared: [] });

  it("finds users through several models", () => {
    assert.deepEqual([...transitiveUsers(models, ["low"])].sort(), ["mid", "top"]);
    assert.deepEqual([...transitiveUsers(models, ["top"])], []);
  });

  it("finds what only one model needed, downwards", () => {
    assert.deepEqual([...orphans(models, "top", () => false)].sort(), ["low", "mid"]);
    assert.deepEqual([...orphans(models, "top", (name) => name === "mid")], []);
  });
});
