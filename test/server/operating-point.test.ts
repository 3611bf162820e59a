/** The run-time switch of a cascade's operating point. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ServedCascade } from "../../model-repo/backends/served-cascade.ts";
import { InferenceError } from "../../proto/errors.ts";
import { CascadeModel } from "../../scheduler/cascade/cascade-model.ts";
import { VirtualClock } from "../../scheduler/clock.ts";
import type { Model } from "../../scheduler/model.ts";
import { operatingPointRoute } from "../../server/operating-point.ts";
import { cascadeFile, gate, level, point } from "../support/cascades.ts";
import { signature, spec } from "../support/tensors.ts";
import { FakeModel } from "./support/fake-repository.ts";

function setUp() {
  const file = cascadeFile(
    [level("small"), level("giant")],
    [point("AP", [gate(0.9)]), point("EO", [gate(0.5)]), point("XX", [gate(0.1)])],
  );
  const tensors = { inputs: [spec("x", [2])], outputs: [spec("scores", [2])] };
  const models = ["small", "giant"].map((name) => {
    const model = new FakeModel(name);
    return Object.assign(Object.create(model) as Model, { signature: signature({ name, ...tensors }) });
  });
  const selectable = new Set(["AP", "EO"]);
  const cascade = new CascadeModel({
    signature: signature({ name: "M", version: "3", ...tensors }),
    file,
    models,
    operatingPoint: "AP",
    selectablePoints: selectable,
    clock: new VirtualClock(),
  });
  const served = new ServedCascade({
    cascade,
    file,
    certificates: new Map([
      ["AP", { state: "valid", reason: "" }],
      ["EO", { state: "unverified", reason: "no rows" }],
      ["XX", { state: "void", reason: "another model" }],
    ]),
    operatingPoint: "AP",
    selectable,
    isReadyAt: () => true,
  });
  const logged: unknown[] = [];
  const log = { info: (fields: object) => logged.push(fields), warn: () => undefined, error: () => undefined };
  const known = new Map<string, Model>([
    ["M", served],
    ["small", new FakeModel("small")],
  ]);
  const lookup = (name: string, version: string) => {
    const model = known.get(name);
    if (model === undefined || (version !== "" && version !== model.signature.version)) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    }
    return model;
  };
  const route = operatingPointRoute({ lookup }, log);
  const ask = async (groups: readonly string[], body?: string) => {
    const answer = await route.answer({ method: body === undefined ? "GET" : "POST", groups, body: body ?? "" });
    return [answer.status, JSON.parse(answer.body)];
  };
  return { ask, served, logged, route };
}

describe("operating point over HTTP", () => {
  it("tells the point and what may be chosen", async () => {
    const { ask, route } = setUp();
    assert.equal(route.protocol, "model-repository");
    const state = {
      model_name: "M",
      model_version: "3",
      operating_point: "AP",
      gear: 0,
      drift: null,
      operating_points: [
        { name: "AP", selectable: true, certificate: "valid" },
        { name: "EO", selectable: true, certificate: "unverified", reason: "no rows" },
        { name: "XX", selectable: false, certificate: "void", reason: "another model" },
      ],
    };
    assert.deepEqual(await ask(["M", ""]), [200, state]);
    assert.deepEqual(await ask(["M", "3"]), [200, state]);
  });

  it("switches, and says from what to what in the log", async () => {
    const { ask, served, logged } = setUp();
    const [status, state] = await ask(["M", ""], '{"operating_point": "EO"}');
    assert.deepEqual([status, state.operating_point, served.chosenPoint], [200, "EO", "EO"]);
    assert.deepEqual(logged, [{ model: "M", version: "3", from: "AP", to: "EO" }]);
  });

  it("refuses what cannot be, and stays as it is", async () => {
    const { ask, served, logged } = setUp();
    const refusals: readonly (readonly [string, readonly string[], string | undefined, RegExp])[] = [
      ["404", ["N", ""], undefined, /unknown model: 'N'/],
      ["404", ["M", "9"], "{}", /unknown model: 'M'/],
      ["400", ["small", ""], undefined, /model 'small' is not a cascade/],
      ["400", ["M", ""], "{", /the body is not valid JSON/],
      ["400", ["M", ""], "[]", /the body must be \{"operating_point": "NAME"\}/],
      ["400", ["M", ""], '{"operating_point":"EO","x":1}', /and nothing else/],
      ["400", ["M", ""], '{"operating_point":"ZZ"}', /no operating point 'ZZ'; it may be one of: AP, EO/],
      ["400", ["M", ""], '{"operating_point":"XX"}', /'XX' of model 'M' is void \(another model\): name it in/],
    ];
    for (const [status, groups, body, text] of refusals) {
      const [found, { error }] = await ask(groups, body);
      assert.equal(String(found), status, error);
      assert.match(error, text);
    }
    assert.deepEqual([served.operatingPoint, served.chosenPoint, logged], ["AP", undefined, []]);
  });
});
