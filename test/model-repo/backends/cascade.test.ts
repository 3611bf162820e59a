import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { LoadContext } from "../../../model-repo/backends/backend.ts";
import { cascadeBackend } from "../../../model-repo/backends/cascade.ts";
import { policyHash } from "../../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { certificate } from "../../support/cascades.ts";
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
function cascadeJson(certified?: string): string {
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
  });
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

  it("needs that consent, in the configuration or by flag", async (test) => {
    const refused = await setUp(test, { json: cascadeJson() });
    await assert.rejects(
      cascadeBackend.load(refused.context),
      /default operating point 'AP' is uncertified: certify it/,
    );
    const allowed = await setUp(test, { json: cascadeJson(), allowUncertified: true });
    await cascadeBackend.load(allowed.context);
  });

  it("takes a certificate for this very policy without consent, and voids it for any other", async (test) => {
    const matching = await setUp(test, { json: cascadeJson(hashOf(cascadeJson())) });
    await cascadeBackend.load(matching.context);
    assert.equal(matching.logged[0]?.fields["state"], "unverified");
    const changed = await setUp(test, { json: cascadeJson("sha256:other"), allowUncertified: true });
    await cascadeBackend.load(changed.context);
    assert.deepEqual([changed.logged[0]?.level, changed.logged[0]?.fields["state"]], ["warn", "void"]);
    const refused = await setUp(test, { json: cascadeJson("sha256:other") });
    await assert.rejects(cascadeBackend.load(refused.context), /is void/);
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
      "settings without effect",
      { json: cascadeJson(), config: `${CONFIG} ${parameter("shadow_share", "0.01")}` },
      /parameter 'shadow_share' is not served yet/,
    ],
    [
      "a failure policy it does not know",
      { json: cascadeJson(), config: `${CONFIG} ${parameter("on_level_failure", "degrade")}` },
      /on_level_failure 'degrade' is not served yet; served: fail/,
    ],
  ];
  for (const [title, options, message] of refusals) {
    it(`refuses ${title}`, async (test) => {
      const { context } = await setUp(test, options);
      await assert.rejects(cascadeBackend.load(context), message);
    });
  }
});
