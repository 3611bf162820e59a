import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { confidentAs, gate, level, point } from "../../support/cascades.ts";
import { bytes, floats, integers, spec } from "../../support/tensors.ts";
import type { Answer } from "../../support/timed-instance.ts";
import { ask, EASY, HARD, MEDIUM, parameters, SCORES, type SetUp, setUp } from "./three-levels.ts";

describe("routing", () => {
  it("answers each row at the level that is sure, in the order of the request", async () => {
    const { clock, cascade } = setUp();
    const answer = cascade.infer(ask("a", [HARD, EASY, MEDIUM, EASY]));
    await clock.advance(100);
    const response = await answer;
    const [scores, levels, confidences] = response.outputs;
    assert.deepEqual(
      response.outputs.map((output) => output.name),
      ["scores", "CASCADE_LEVEL", "CASCADE_CONFIDENCE"],
    );
    assert.deepEqual(integers(levels), [2, 0, 1, 0]);
    assert.deepEqual(levels?.shape, [4, 1]);
    const expected = [0.55, 0.45, 0.95, 0.05, 0.15, 0.85, 0.95, 0.05];
    floats(scores).forEach((value, i) => {
      assert.ok(Math.abs(value - (expected[i] ?? 0)) < 1e-6);
    });
    assert.deepEqual(
      floats(confidences).map((q) => q.toFixed(2)),
      ["0.55", "0.95", "0.85", "0.95"],
    );
    assert.deepEqual(
      [...response.parameters],
      [
        ["cascade_operating_point", { kind: "string", value: "AP" }],
        ["cascade_level", { kind: "int64", value: 2n }],
        ["cascade_rows_per_level", { kind: "string", value: "2,1,1" }],
      ],
    );
    assert.deepEqual(cascade.cascadeStatistics.rowsByPath, [
      [2, 2, 0],
      [0, 1, 1],
      [0, 0, 1],
    ]);
  });

  it("batches rows of several requests at the next level", async () => {
    const { clock, cascade, xs, m } = setUp();
    const answers = Promise.all([
      cascade.infer(ask("a", [EASY, MEDIUM])),
      cascade.infer(ask("b", [MEDIUM, EASY, EASY])),
      cascade.infer(ask("c", [EASY, EASY, MEDIUM])),
    ]);
    await clock.advance(100);
    assert.deepEqual(xs.batchIds, ["a+b+c"]);
    assert.deepEqual(m.batchIds, ["a+b+c"]);
    assert.deepEqual(
      m.batches[0]?.map((each) => each.inputs[0]?.shape),
      [
        [1, 3],
        [1, 3],
        [1, 3],
      ],
    );
    assert.deepEqual(
      (await answers).map((response) => integers(response.outputs[1])),
      [
        [0, 1],
        [1, 0, 0],
        [0, 0, 1],
      ],
    );
  });

  it("skips levels, and sends hopeless rows to the last one", async () => {
    const gates = [gate(0.9, [0.6], { below: 0.1, action: "last" }), gate(0.8)];
    const { clock, cascade, m, l } = setUp({ points: [point("AP", gates)] });
    const inputs = [
      [0.6, 0.9, 0.9],
      [0.55, 0.9, 0.9],
    ];
    const answer = cascade.infer(ask("a", inputs));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [1, 2]);
    assert.equal(m.batches.length, 1);
    assert.equal(l.batches.length, 1);
  });

  it("escalates rows whose scores are no numbers, and counts them", async () => {
    const { clock, cascade } = setUp();
    const answer = cascade.infer(ask("a", [[Number.NaN, 0.9, 0.9]]));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [1]);
    assert.equal(cascade.cascadeStatistics.nonFiniteRows, 1);
  });

  it("does not hold a row back for its neighbours", async () => {
    const { clock, cascade, m, l } = setUp({ levelSignature: { maxBatchSize: 1 } });
    void cascade.infer(ask("a", [HARD, MEDIUM, HARD]));
    await clock.advance(15);
    assert.equal(m.batches.length, 1, "the first row is at level 1 while the others are still at level 0");
    await clock.advance(10);
    assert.equal(l.batches.length, 1);
    await clock.advance(100);
  });

  it("splits a request that is larger than a level's batch", async () => {
    const { clock, cascade, xs } = setUp({ levelSignature: { maxBatchSize: 2 } });
    const answer = cascade.infer(ask("a", [EASY, MEDIUM, EASY, HARD, EASY]));
    await clock.advance(200);
    assert.deepEqual(
      xs.batches.map((batch) => batch[0]?.inputs[0]?.shape[0]),
      [2, 2, 1],
    );
    assert.deepEqual(integers((await answer).outputs[1]), [0, 1, 0, 2, 0]);
  });

  it("asks a level with a fixed batch of one row by row", async () => {
    const fixed = { maxBatchSize: 0, inputs: [spec("x", [1, 3])], outputs: [spec("scores", [1, 2])] };
    const { clock, cascade, xs } = setUp({ levelSignature: fixed });
    const answer = cascade.infer(ask("a", [EASY, MEDIUM]));
    await clock.advance(200);
    assert.equal(xs.batches.length, 2);
    assert.deepEqual(integers((await answer).outputs[1]), [0, 1]);
  });

  it("answers an empty request with empty outputs", async () => {
    const { clock, cascade } = setUp();
    const answer = cascade.infer(ask("a", []));
    await clock.advance(100);
    assert.deepEqual(
      (await answer).outputs.map((output) => output.shape),
      [
        [0, 2],
        [0, 1],
        [0, 1],
      ],
    );
  });
});

describe("request parameters", () => {
  it("chooses an operating point that may be chosen", async () => {
    const points = [
      point("AP", [gate(0.9), gate(0.8)]),
      point("EO", [gate(0.5), gate(0.5)]),
      point("raw", [gate(0), gate(0)]),
    ];
    const { clock, cascade } = setUp({ points, selectable: ["AP", "EO"] });
    const choose = (value: string) => parameters({ cascade_operating_point: { kind: "string", value } });
    const answer = cascade.infer(ask("a", [MEDIUM], { parameters: choose("EO") }));
    await clock.advance(100);
    assert.deepEqual((await answer).parameters.get("cascade_operating_point"), { kind: "string", value: "EO" });
    assert.deepEqual(integers((await answer).outputs[1]), [0]);
    await assert.rejects(cascade.infer(ask("b", [EASY], { parameters: choose("raw") })), {
      code: "INVALID_ARGUMENT",
      message: /'raw', but it is uncertified.*--allow-uncertified; a request may choose: AP, EO/,
    });
    await assert.rejects(cascade.infer(ask("c", [EASY], { parameters: choose("X") })), /no operating point 'X'/);
  });

  it("bounds the levels", async () => {
    const { clock, cascade, xs, l } = setUp();
    const bounds = (min: bigint, max: bigint) =>
      parameters({
        cascade_min_level: { kind: "int64", value: min },
        cascade_max_level: { kind: "int64", value: max },
      });
    const answer = cascade.infer(ask("a", [HARD, EASY], { parameters: bounds(1n, 1n) }));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [1, 1]);
    assert.equal(xs.batches.length + l.batches.length, 0);
    for (const [min, max] of [
      [0n, 3n],
      [-1n, 2n],
      [2n, 1n],
    ] as const) {
      await assert.rejects(cascade.infer(ask("b", [EASY], { parameters: bounds(min, max) })), {
        code: "INVALID_ARGUMENT",
        message: /parameter 'cascade_m(in|ax)_level' for model 'c' must be/,
      });
    }
  });

  it("passes id and parameters down", async () => {
    const { clock, cascade, xs } = setUp();
    const custom = parameters({ tenant: { kind: "string", value: "blue" } });
    void cascade.infer(ask("a", [EASY], { parameters: custom }));
    await clock.advance(100);
    const sent = xs.batches[0]?.[0];
    assert.equal(sent?.id, "a");
    assert.deepEqual(sent?.parameters.get("tenant"), { kind: "string", value: "blue" });
  });
});

describe("wiring", () => {
  it("maps names and labels of a level", async () => {
    const renamed = { inputs: [spec("pixels", [3])], outputs: [spec("out", [2])] };
    const answer: Answer = (asked) => confidentAs(0)(asked).map((output) => ({ ...output, name: "out" }));
    const mapped = (name: string) =>
      level(name, {
        inputs: { pixels: "x" },
        outputs: { scores: "out" },
        labelMap: [1, 0],
        confidence: { function: "max_prob", kind: "probabilities", outputs: { scores: "out" }, params: {} },
      });
    const { clock, cascade } = setUp({
      levelSignature: renamed,
      levels: ["xs", "m", "l"].map(mapped),
      answers: [answer, answer, answer],
    });
    const response = cascade.infer(ask("a", [EASY, EASY]));
    await clock.advance(100);
    assert.deepEqual(
      floats((await response).outputs[0]).map((value) => value.toFixed(2)),
      ["0.05", "0.95", "0.05", "0.95"],
    );
  });

  it("merges rows of BYTES outputs", async () => {
    const outputs = [spec("scores", [2]), spec("text", [1], "BYTES")];
    const named =
      (k: number, word: string): Answer =>
      (asked) => {
        const rows = asked.inputs[0]?.shape[0] ?? 0;
        return [...confidentAs(k)(asked), bytes("text", [rows, 1], new Array<string>(rows).fill(word))];
      };
    const { clock, cascade } = setUp({
      levelSignature: { outputs },
      signature: { outputs },
      answers: [named(0, "small"), named(1, "m"), named(2, "the giant")],
    });
    const answer = cascade.infer(ask("a", [HARD, EASY, MEDIUM]));
    await clock.advance(100);
    const text = (await answer).outputs[1];
    assert.deepEqual(text, bytes("text", [3, 1], ["the giant", "small", "m"]));
  });

  const misfits: readonly (readonly [string, SetUp, RegExp])[] = [
    ["a missing output", { levelSignature: { outputs: [spec("y", [2])] } }, /level 0 \('xs'\) has no output 'scores'/],
    ["another datatype", { levelSignature: { inputs: [spec("x", [3], "INT32")] } }, /datatype INT32 for input 'x'/],
    ["another shape", { levelSignature: { inputs: [spec("x", [4])] } }, /shape \[4\] for input 'x', the cascade \[3\]/],
    [
      "an input nobody gives",
      { levelSignature: { inputs: [spec("z", [3])] } },
      /input 'z' from 'z', which the cascade/,
    ],
    ["no batching", { signature: { maxBatchSize: 0 } }, /needs a max_batch_size of at least 1/],
    [
      "a CASCADE_LEVEL of another type",
      { signature: { outputs: [...SCORES, spec("CASCADE_LEVEL", [1])] } },
      /output 'CASCADE_LEVEL' must have data_type TYPE_INT32/,
    ],
    [
      "an output map for nothing",
      { levels: ["xs", "m", "l"].map((name) => level(name, { outputs: { nothing: "scores" } })) },
      /maps the output 'nothing'/,
    ],
  ];
  for (const [title, options, message] of misfits) {
    it(`refuses ${title}`, () => assert.throws(() => setUp(options), message));
  }
});

describe("failures", () => {
  it("fails with the level's error", async () => {
    const { clock, cascade, m } = setUp();
    m.failure = new InferenceError("UNAVAILABLE", "the level is gone");
    const answer = assert.rejects(cascade.infer(ask("a", [EASY, MEDIUM])), { code: "UNAVAILABLE", message: /is gone/ });
    await clock.advance(100);
    await answer;
    assert.equal(cascade.statistics.fail.count, 1);
  });

  it("stops before the next level when the client goes", async () => {
    const { clock, cascade, m } = setUp();
    const cancellation = new Cancellation();
    const answer = assert.rejects(cascade.infer(ask("a", [MEDIUM]), cancellation), { code: "CANCELLED" });
    await clock.advance(5);
    cancellation.cancel(new InferenceError("CANCELLED", ""));
    await clock.advance(100);
    await answer;
    assert.equal(m.batches.length, 0);
    assert.equal(cascade.statistics.failures.CANCELED, 1);
    assert.deepEqual(cascade.cascadeStatistics.cancelledRows, [1, 0, 0]);
  });

  it("answers what is in hand before it closes", async () => {
    const { clock, cascade } = setUp();
    const events: string[] = [];
    void cascade.infer(ask("a", [HARD])).then(() => events.push("answered"));
    void cascade.close().then(() => events.push("closed"));
    await assert.rejects(cascade.infer(ask("b", [EASY])), { code: "UNAVAILABLE" });
    await clock.advance(100);
    assert.deepEqual(events, ["answered", "closed"]);
  });
});
