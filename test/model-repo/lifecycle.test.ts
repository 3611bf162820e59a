/** Version policies and the steps of a load, as tables. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ModelVersionPolicy } from "../../model-repo/config/model-config.ts";
import { type LoadProgress, nextActions, wantedVersions } from "../../model-repo/lifecycle.ts";

describe("wantedVersions", () => {
  const cases: [string, ModelVersionPolicy, number[], number[]][] = [
    ["latest takes the highest", { latest: { num_versions: 1 } }, [1, 10, 9], [10]],
    ["latest takes n", { latest: { num_versions: 2 } }, [3, 1, 2], [2, 3]],
    ["latest takes what there is", { latest: { num_versions: 5 } }, [2], [2]],
    ["no policy is latest 1", {}, [1, 2], [2]],
    ["all", { all: {} }, [2, 1], [1, 2]],
    ["specific leaves out what is missing", { specific: { versions: [1, 7] } }, [1, 2, 3], [1]],
    ["nothing found", { latest: { num_versions: 1 } }, [], []],
  ];
  for (const [title, policy, found, wanted] of cases) {
    it(title, () => assert.deepEqual(wantedVersions(policy, found), wanted));
  }
});

describe("nextActions", () => {
  type Serving = [number, "current" | "outdated"][];
  type Candidates = [number, "LOADING" | "LOADED" | "FAILED"][];
  const cases: [string, number[], Serving, Candidates, string[]][] = [
    ["nothing serves: load", [1], [], [], ["load 1"]],
    ["all wanted versions at once", [1, 2], [], [], ["load 1", "load 2"]],
    ["current: nothing to do", [1], [[1, "current"]], [], []],
    ["outdated: load beside it", [1], [[1, "outdated"]], [], ["load 1"]],
    ["only what is missing", [1, 2], [[1, "current"]], [], ["load 2"]],
    ["loading: wait", [1], [[1, "outdated"]], [[1, "LOADING"]], []],
    [
      "one is loading still: wait",
      [1, 2],
      [],
      [
        [1, "LOADED"],
        [2, "LOADING"],
      ],
      [],
    ],
    ["loaded: activate", [2], [[1, "current"]], [[2, "LOADED"]], ["activate 2"]],
    [
      "new before old: the old version goes last",
      [2],
      [
        [1, "current"],
        [2, "current"],
      ],
      [],
      ["unload 1"],
    ],
    ["no unload while the new version loads", [2], [[1, "current"]], [[2, "LOADING"]], []],
    [
      "one failed: the other is given up",
      [1, 2],
      [],
      [
        [1, "LOADED"],
        [2, "FAILED"],
      ],
      ["discard 1"],
    ],
    [
      "one failed, another loads: wait",
      [1, 2],
      [],
      [
        [1, "LOADING"],
        [2, "FAILED"],
      ],
      [],
    ],
    ["failed: what served goes on", [2], [[1, "current"]], [[2, "FAILED"]], []],
    ["failed reload: nothing more", [1], [[1, "outdated"]], [[1, "FAILED"]], []],
  ];
  for (const [title, wanted, serving, candidates, expected] of cases) {
    it(title, () => {
      const progress: LoadProgress = { wanted, serving: new Map(serving), candidates: new Map(candidates) };
      assert.deepEqual(
        nextActions(progress).map(({ kind, version }) => `${kind} ${version}`),
        expected,
      );
    });
  }
});
