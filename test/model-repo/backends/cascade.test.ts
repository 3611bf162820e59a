import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { LoadContext } from "../../../model-repo/backends/backend.ts";
import { cascadeBackend } from "../../../model-repo/backends/cascade.ts";
import { levelHash } from "../../../model-repo/backends/certificate-hash.ts";
import { ServedCascade } from "../../../model-repo/backends/served-cascade.ts";
import { policyHash } from "../../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { certificate, expectation } from "../../support/cascades.ts";
import { readConfig } from "../../support/model-configs.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { signature, spec } from "../../support/tensors.ts";
import { TimedInstance } from "../../support/timed-instance.ts";

const CONFIG = `
  name: "M" backend: "cascade" max_batch_size: 4
  input [{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }]
  output [{ name: "scores" data_type: TYPE_FP32 dims: [ 2 ] }]`;

function parameter(key: string, value: string): string {
  return `parameters { key: "${key}" value: { string_value: "${value}" } }`;
}

const CONFIDENCE = { function: "max_prob", kind: "logits", outputs: { scores: "scores" } };

/** cascade.json of two levels with one point; `certified` gives it a certificate for this policy hash. */
function cascadeJson(certified?: string, overrides: object = {}): string {
  return JSON.stringify({
    formatVersion: 1,
    levels: [
      { model: "small", confidence: CONFIDENCE },
      { model: "giant", version: "1" },
    ],
    operatingPoints: [
      { name: "AP", gates: [{ accept: 0.9 }], certificate: certified === undefined ? null : certificate(certified) },
    ],
    default: "AP",
    ...overrides,
  });
}

async function load(context: LoadContext): Promise<ServedCascade> {
  const model = await cascadeBackend.load(context);
  assert.ok(model instanceof ServedCascade);
  return model;
}

/** Loads and takes the place of `before`, as the repository does. */
async function reload(context: LoadContext, before: ServedCascade): Promise<ServedCascade> {
  let takeOver: ((before: ServedCascade) => void) | undefined;
  const model = await load({
    ...context,
    onTakeOver: (given) => {
      takeOver = given;
    },
  });
  takeOver?.(before);
  return model;
}

interface Logged {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface SetUp {
  readonly json?: string;
  readonly config?: string;
  readonly allowUncertified?: boolean;
}

async function setUp(test: TestContext, options: SetUp) {
  const root = await temporaryFiles(
    test,
    options.json === undefined ? { "1/": "" } : { "1/cascade.json": options.json },
  );
  const clock = new VirtualClock();
  const logged: Logged[] = [];
  const looked: string[] = [];
  const log = (level: string) => (fields: object) => {
    logged.push({ level, fields: { ...fields } });
  };
  const { config, lineOf } = readConfig(options.config ?? CONFIG);
  const context: LoadContext = {
    resolved: { config, lineOf, file: "config.pbtxt", labels: new Map(), versions: [1], warnings: [] },
    version: "1",
    versionDirectory: join(root, "1"),
    clock,
    log: { info: log("info"), warn: log("warn"), error: log("error") },
    maxQueuedRequests: 0,
    backendConfig: new Map(),
    allowUncertified: options.allowUncertified ?? false,
    coreCount: 1,
    claimThreads: () => undefined,
    lookup: (name, version) => {
      looked.push(`${name}:${version}`);
      return new BatchedModel({
        signature: signature({ name, inputs: [spec("x", [2])], outputs: [spec("scores", [2])] }),
        instances: [new TimedInstance(clock, 1)],
        batching: null,
        queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
        clock,
      });
    },
  };
  return { context, logged, looked };
}

function hashOf(json: string): string {
  const file = parseCascadeFile(json, "cascade.json");
  const [point] = file.operatingPoints;
  assert.ok(point);
  return policyHash(file, point);
}

describe("cascade backend", () => {
  it("loads over its levels once the configuration consents to an uncertified point", async (test) => {
    const config = `${CONFIG} ${parameter("operating_point", "AP")}`;
    const { context, looked, logged } = await setUp(test, { json: cascadeJson(), config });
    const model = await cascadeBackend.load(context);
    assert.equal(model.signature.name, "M");
    assert.deepEqual(looked, ["small:", "giant:1"]);
    assert.deepEqual(
      logged.map(({ level, fields }) => [level, fields["operatingPoint"], fields["state"]]),
      [["info", "AP", "uncertified"]],
    );
  });

  it("is as ready as the levels that its point asks, by on_level_failure", async (test) => {
    const consent = `${CONFIG} ${parameter("operating_point", "AP")}`;
    for (const [config, ready] of [
      [consent, [true, false, false]],
      [`${consent} ${parameter("on_level_failure", "degrade")}`, [true, false, true]],
    ] as const) {
      const { context } = await setUp(test, { json: cascadeJson(), config });
      const levels = new Map<string, object>();
      const { lookup } = context;
      const model = await load({
        ...context,
        lookup: (name, version) => {
          const level = lookup(name, version);
          levels.set(name, level);
          return level;
        },
      });
      const states = ["nothing", "small", "giant"].map((down) => {
        for (const [name, level] of levels)
          Object.defineProperty(level, "isReady", { value: name !== down, configurable: true });
        return model.isReady;
      });
      assert.deepEqual(states, ready);
    }
  });

  it("needs that consent, in the configuration or by flag", async (test) => {
    const refused = await setUp(test, { json: cascadeJson() });
    await assert.rejects(
      cascadeBackend.load(refused.context),
      /default operating point 'AP' is uncertified: certify it/,
    );
    const allowed = await setUp(test, { json: cascadeJson(), allowUncertified: true });
    await cascadeBackend.load(allowed.context);
  });

  it("serves a point that nothing speaks against, and says what was not compared", async (test) => {
    const { context, logged } = await setUp(test, { json: cascadeJson(hashOf(cascadeJson())) });
    const model = await load(context);
    assert.deepEqual([logged[0]?.level, logged[0]?.fields["state"]], ["warn", "unverified"]);
    assert.match(String(logged[0]?.fields["reason"]), /does not say which models were calibrated/);
    assert.deepEqual([model.operatingPoint, [...model.selectable]], ["AP", ["AP"]]);
  });

  it("answers from the last level alone where the default's certificate is void, with consent from the default", async (test) => {
    const { context, logged } = await setUp(test, { json: cascadeJson("sha256:other") });
    const model = await load(context);
    assert.equal(model.certificates.get("AP")?.state, "void");
    assert.deepEqual([model.operatingPoint, [...model.selectable]], ["last-level-only", ["last-level-only"]]);
    assert.deepEqual(
      logged.map(({ level, fields }) => [level, fields["operatingPoint"]]),
      [
        ["warn", "AP"],
        ["warn", "last-level-only"],
      ],
    );
    const allowed = await setUp(test, { json: cascadeJson("sha256:other"), allowUncertified: true });
    assert.equal((await load(allowed.context)).operatingPoint, "AP");
    const config = `${CONFIG} ${parameter("operating_point", "AP")}`;
    const configured = await setUp(test, { json: cascadeJson("sha256:other"), config });
    assert.equal((await load(configured.context)).operatingPoint, "AP");
  });

  it("takes a plan's point for no consent: it must be certified, or named by the configuration as well", async (test) => {
    // The plan's point is in the configuration by the time a backend loads.
    const config = `${CONFIG} ${parameter("operating_point", "AP")}`;
    const planned = { isPointNamed: false };
    const uncertified = await setUp(test, { json: cascadeJson(), config });
    await assert.rejects(
      load({ ...uncertified.context, plannedCascade: planned }),
      /the plan's operating point 'AP' is uncertified: certify it/,
    );
    const changed = await setUp(test, { json: cascadeJson("sha256:other"), config });
    assert.equal((await load({ ...changed.context, plannedCascade: planned })).operatingPoint, "last-level-only");
    const named = await setUp(test, { json: cascadeJson("sha256:other"), config });
    assert.equal((await load({ ...named.context, plannedCascade: { isPointNamed: true } })).operatingPoint, "AP");
  });

  it("leaves a plan's gear out whose certificate is gone, and says so", async (test) => {
    const expected = {
      ...expectation(),
      reach: [1, 0.4],
      paths: [
        [0.6, 0.4],
        [0, 1],
      ],
      confidences: null,
    };
    const points = ["AP", "EO"].map((name) => ({ name, gates: [{ accept: 0.9 }], expected, certificate: null }));
    const json = cascadeJson(undefined, { operatingPoints: points });
    const config = `${CONFIG} ${parameter("operating_point", "AP")} ${parameter("gears", "AP@0/s,EO@10/s")}`;
    const { context, logged } = await setUp(test, { json, config });
    const leftOut = () => logged.flatMap(({ fields }) => fields["point"] ?? []);
    await load(context);
    assert.deepEqual(leftOut(), [], "the configuration's own gears are its own business");
    await load({ ...context, plannedCascade: { isPointNamed: true } });
    assert.deepEqual(leftOut(), ["EO"]);
  });

  it("compares the files of its levels with what was calibrated", async (test) => {
    const found = async (hash: string) => {
      const files = await temporaryFiles(test, { "model.onnx": "giant" });
      const calibration = {
        levelHashes: [await levelHash(files), hash === "same" ? await levelHash(files) : hash],
        provider: "cpu",
        createdAt: "2026-01-01T00:00:00Z",
        command: "test",
      };
      const json = cascadeJson(hashOf(cascadeJson()), { calibration });
      const { context } = await setUp(test, { json });
      const model = await load({ ...context, directoryOf: () => files, offline: true });
      return model.certificates.get("AP");
    };
    assert.deepEqual(await found("same"), {
      state: "unverified",
      reason: "the golden rows are replayed when the cascade is served",
    });
    assert.match(
      (await found("sha256:other"))?.reason ?? "",
      /level 1 \('giant'\) is not the model that was calibrated/,
    );
  });

  it("a reload goes on at the point that was chosen, while that is the same point", async (test) => {
    const points = (accept: number) => ({
      operatingPoints: [
        { name: "AP", gates: [{ accept: 0.9 }] },
        { name: "EO", gates: [{ accept }] },
      ],
    });
    const { context } = await setUp(test, { json: cascadeJson(undefined, points(0.5)), allowUncertified: true });
    const first = await load(context);
    first.choose("EO");
    const again = await reload(context, first);
    assert.deepEqual([again.operatingPoint, again.chosenPoint], ["EO", "EO"]);
    const changed = await setUp(test, { json: cascadeJson(undefined, points(0.4)), allowUncertified: true });
    assert.equal((await reload(changed.context, again)).operatingPoint, "AP");
    assert.equal(changed.logged.at(-1)?.level, "warn");
    const config = `${CONFIG} ${parameter("operating_point", "AP")}`;
    const edited = await setUp(test, { json: cascadeJson(undefined, points(0.5)), config });
    assert.equal((await reload(edited.context, again)).operatingPoint, "AP");
  });

  it("a reload of the same policy keeps a drift alarm, which makes certificates void", async (test) => {
    const json = cascadeJson(hashOf(cascadeJson()));
    const { context } = await setUp(test, { json });
    const first = await load(context);
    assert.equal(first.certificates.get("AP")?.state, "unverified");
    const alarm = { detector: "disagreement", text: "it disagrees", atEpochMs: 1 } as const;
    first.cascade.resumeDrift({ ...first.cascade.driftState, alarm });
    const again = await reload(context, first);
    assert.deepEqual(again.certificates.get("AP"), {
      state: "void",
      reason: "traffic is not what was certified: it disagrees",
    });
    const other = await setUp(test, { json: cascadeJson("sha256:other"), allowUncertified: true });
    assert.equal((await reload(other.context, first)).cascade.driftAlarm, null);
  });

  it("names its levels for the order of loading", async (test) => {
    const { context } = await setUp(test, { json: cascadeJson() });
    assert.deepEqual(await cascadeBackend.dependencies?.(context.versionDirectory), ["small", "giant"]);
  });

  const refusals: readonly (readonly [string, SetUp, RegExp])[] = [
    ["a missing cascade.json", {}, /unable to read the cascade's policy '.*cascade.json'/],
    ["a broken cascade.json", { json: "[" }, /cascade.json: not valid JSON/],
    [
      "an operating point that does not exist",
      { json: cascadeJson(), config: `${CONFIG} ${parameter("operating_point", "EO")}` },
      /no operating point 'EO'; there are: AP/,
    ],
    [
      "settings it does not know",
      { json: cascadeJson(), config: `${CONFIG} ${parameter("shadow_shar", "0.01")}` },
      /unknown parameter 'shadow_shar'; did you mean "shadow_share"/,
    ],
  ];
  for (const [title, options, message] of refusals) {
    it(`refuses ${title}`, async (test) => {
      const { context } = await setUp(test, options);
      await assert.rejects(cascadeBackend.load(context), message);
    });
  }
});
