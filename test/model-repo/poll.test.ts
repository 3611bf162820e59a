/** What polls load and unload, decided from scans, and their timing on a virtual clock. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterLoad, decidePoll, type PolledModels, type Scan } from "../../model-repo/poll-policy.ts";
import { Poller } from "../../model-repo/poller.ts";
import { VirtualClock } from "../../scheduler/clock.ts";

/** Feeds scans (texts like "a1 b1": model and files; "a?" unreadable) and shows what each of them does. */
function pollAll(scans: string[], options: { fails?: string[]; allowMassUnload?: boolean } = {}): string[] {
  let models: PolledModels = new Map();
  return scans.map((text, i) => {
    const scan: Scan = new Map(
      text
        .split(" ")
        .filter(Boolean)
        .map((item) => [item[0] ?? "", item[1] === "?" ? undefined : item.slice(1)]),
    );
    if (i === 0) {
      models = new Map([...scan].map(([name, files]) => [name, afterLoad(undefined, files ?? "", false)]));
      return "";
    }
    const decision = decidePoll(models, scan, options.allowMassUnload ?? false);
    const next = new Map(decision.models);
    for (const name of decision.load) {
      next.set(name, afterLoad(next.get(name), scan.get(name) ?? "", options.fails?.includes(name) === true));
    }
    models = next;
    return [
      ...decision.load.map((name) => `+${name}`),
      ...decision.unload.map((name) => `-${name}`),
      ...decision.kept.map((name) => `!${name}`),
    ].join(" ");
  });
}

describe("decidePoll", () => {
  const cases: [string, string[], string[]][] = [
    ["unchanged: nothing", ["a1", "a1", "a1"], ["", "", ""]],
    ["a change loads once it was seen twice", ["a1", "a2", "a2", "a2"], ["", "", "+a", ""]],
    ["files that keep changing wait", ["a1", "a2", "a3", "a4", "a4"], ["", "", "", "", "+a"]],
    ["a change that is taken back is none", ["a1", "a2", "a1", "a1"], ["", "", "", ""]],
    ["a new model", ["a1", "a1 b1", "a1 b1", "a1 b1"], ["", "", "+b", ""]],
    ["absent once: kept", ["a1 b1 c1", "a1 b1", "a1 b1 c1"], ["", "", ""]],
    ["absent twice: unloaded", ["a1 b1 c1", "a1 b1", "a1 b1", "a1 b1"], ["", "", "-c", ""]],
    ["half of all may go", ["a1 b1", "a1", "a1"], ["", "", "-b"]],
    ["more than half may not", ["a1 b1 c1", "a1", "a1", "a1"], ["", "", "!b !c", "!b !c"]],
    [
      "everything gone: kept, and nothing happens when it is back",
      ["a1 b1", "", "", "a1 b1", "a1 b1"],
      ["", "", "!a !b", "", ""],
    ],
    ["unreadable is neither gone nor changed", ["a1", "a?", "a?", "a?", "a1"], ["", "", "", "", ""]],
    ["a change seen before and after an unreadable scan", ["a1", "a2", "a?", "a2"], ["", "", "", "+a"]],
    ["unloaded and back again", ["a1 b1 c1", "a1 b1", "a1 b1", "a1 b1 c1", "a1 b1 c1"], ["", "", "-c", "", "+c"]],
  ];
  for (const [title, scans, expected] of cases) it(title, () => assert.deepEqual(pollAll(scans), expected));

  it("unloads everything when told so", () => {
    assert.deepEqual(pollAll(["a1 b1", "", ""], { allowMassUnload: true }), ["", "", "-a -b"]);
  });

  it("tries a failed load again after 1, 2, 4, 8 and 16 scans, then after a change only", () => {
    const scans = ["a1", ...Array.from({ length: 40 }, () => "a2"), "a3", "a3"];
    const loads = pollAll(scans, { fails: ["a"] }).flatMap((text, i) => (text === "+a" ? [i] : []));
    assert.deepEqual(loads, [2, 3, 5, 9, 17, 33, 42]);
  });
});

describe("Poller", () => {
  function setUp(scan: () => Promise<Scan>) {
    const clock = new VirtualClock();
    const log: string[] = [];
    const write = (_: object, text: string) => log.push(text);
    const poller = new Poller({
      intervalMs: 1000,
      allowMassUnload: false,
      scan,
      apply: async (load, unload) => {
        log.push(`+${load.join()} -${unload.join()}`);
        return new Set();
      },
      clock,
      log: { info: write, warn: write, error: write },
    });
    return { clock, log, poller };
  }

  it("loads a change after two scans and unloads nothing while the disk fails", async () => {
    const scans = ["1", "2", "2", "fail", "fail", "2"];
    const { clock, log, poller } = setUp(async () => {
      const next = scans.shift();
      if (next === "fail") throw new Error("no such directory");
      return new Map([["a", next]]);
    });
    poller.start(new Map([["a", "1"]]), new Set());
    await clock.advance(3500);
    assert.deepEqual(log, ["+a -"]);
    await clock.advance(3000);
    const failed = "failed to poll the model repository: nothing is changed";
    assert.deepEqual(log, ["+a -", failed, failed]);
    await poller.stop();
  });

  it("begins no scan while one is still running, and goes on when it has ended", async () => {
    let begun = 0;
    let end: ((scan: Scan) => void) | undefined;
    const { clock, log, poller } = setUp(() => {
      begun++;
      return new Promise((resolve) => {
        end = resolve;
      });
    });
    poller.start(new Map([["a", "1"]]), new Set());
    await clock.advance(60_000);
    assert.equal(begun, 1);
    assert.ok(log.length > 10);
    end?.(new Map());
    await clock.advance(1000);
    assert.equal(begun, 2);
    end?.(new Map());
    await clock.advance(1);
    await poller.stop();
  });

  it("polls no more once stopped", async () => {
    let scans = 0;
    const { clock, poller } = setUp(async () => {
      scans++;
      return new Map();
    });
    poller.start(new Map(), new Set());
    await clock.advance(1500);
    await poller.stop();
    await clock.advance(10_000);
    assert.equal(scans, 1);
  });
});
