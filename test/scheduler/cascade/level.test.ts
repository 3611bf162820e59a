import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import type { CascadeLevel, ConfidenceFunction } from "../../../proto/files/cascade-file.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { Level } from "../../../scheduler/cascade/level.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { TensorSpec } from "../../../scheduler/signature.ts";
import { confidentAs, level } from "../../support/cascades.ts";
import { floats, fp32, request, signature, spec } from "../../support/tensors.ts";
import { TimedInstance } from "../../support/timed-instance.ts";

const INPUTS = [spec("x", [3])];
const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

/** A level whose model has these outputs, in a cascade that has `cascadeOutputs`. */
function wire(
  configured: Partial<CascadeLevel>,
  outputs: readonly TensorSpec[],
  cascadeOutputs: readonly TensorSpec[] = [],
): Level {
  const clock = new VirtualClock();
  const model = new BatchedModel({
    signature: signature({ name: "xs", inputs: INPUTS, outputs }),
    instances: [new TimedInstance(clock, 10, confidentAs(0))],
    batching: null,
    queuePolicy: QUEUE,
    clock,
  });
  const cascade = signature({ name: "c", inputs: INPUTS, outputs: cascadeOutputs });
  return new Level(level("xs", configured), model, cascade, "cascade 'c', level 0 ('xs')");
}

function confidence(
  name: string,
  outputs: Readonly<Record<string, string>>,
  params: ConfidenceFunction["params"] = {},
): { readonly confidence: ConfidenceFunction } {
  return { confidence: { function: name, kind: "probabilities", outputs, params } };
}

describe("a level's request", () => {
  it("has the parameters of the cascade's, but those that steer the cascade: a level may be one itself", () => {
    const own = wire(confidence("max_prob", { scores: "scores" }), [spec("scores", [2])]);
    const asked = (names: readonly string[]) => {
      const parameters = new Map(names.map((name) => [name, { kind: "int64", value: 1n } as const]));
      return [...own.request(request({ inputs: [fp32("x", [1, 3], [1, 2, 3])], parameters }), [0]).parameters.keys()];
    };
    assert.deepEqual(asked(["priority", "cascade_min_level", "cascade_max_level", "cascade_operating_point"]), [
      "priority",
    ]);
    assert.deepEqual(asked(["timeout"]), ["timeout"]);
  });
});

describe("a level's confidence", () => {
  it("asks for exactly the outputs of the cascade and of the roles, each once", () => {
    const outputs = [spec("answer", [1]), spec("begin", [4]), spec("end", [4]), spec("other", [9])];
    const span = wire(confidence("qa_span", { start: "begin", end: "end" }), outputs, [
      spec("answer", [1]),
      spec("end", [4]),
    ]);
    const asked = span.request(request({ inputs: [fp32("x", [1, 3], [1, 2, 3])] }), [0]).requestedOutputs;
    assert.deepEqual(asked.map((output) => output.name).sort(), ["answer", "begin", "end"]);
    const q = span.confidences([fp32("end", [1, 2], [0.3, 0.7]), fp32("begin", [1, 2], [0.9, 0.1])], 1);
    assert.ok(Math.abs((q?.[0] ?? 0) - 0.7) < 1e-6);
  });

  it("takes a mask where one is configured, and none otherwise", () => {
    const outputs = [spec("tokens", [-1, 2]), spec("real", [-1], "BOOL")];
    const answers = [
      fp32("tokens", [1, 2, 2], [0.9, 0.1, 0.4, 0.6]),
      { name: "real", datatype: "BOOL", shape: [1, 2], data: Uint8Array.of(1, 0) } as const,
    ];
    const masked = wire(confidence("min_token", { scores: "tokens", mask: "real" }), outputs);
    const plain = wire(confidence("min_token", { scores: "tokens" }), outputs);
    assert.ok(Math.abs((masked.confidences(answers, 1)?.[0] ?? 0) - 0.9) < 1e-6);
    assert.ok(Math.abs((plain.confidences(answers, 1)?.[0] ?? 0) - 0.6) < 1e-6);
  });

  it("maps the labels of token scores as of any others", () => {
    const outputs = [spec("tokens", [-1, 2])];
    const mapped = wire({ labelMap: [1, 0], ...confidence("min_token", { scores: "tokens" }) }, outputs, outputs);
    const [answer] = mapped.answers([fp32("tokens", [1, 2, 2], [0.75, 0.25, 0.5, 0.5])]);
    assert.deepEqual(floats(answer), [0.25, 0.75, 0.5, 0.5]);
  });

  it("maps the scores only, and refuses other outputs that may hold classes too", () => {
    const outputs = [spec("s", [2]), spec("logits", [2]), spec("wide", [3]), spec("real", [2], "BOOL")];
    const listing = (labelMap: number[], ...names: string[]) => {
      const listed = outputs.filter(({ name }) => names.includes(name));
      return () => wire({ labelMap, ...confidence("max_prob", { scores: "s" }) }, outputs, listed);
    };
    assert.throws(listing([1, 0], "s", "logits"), {
      code: "INVALID_ARGUMENT",
      message: /^cascade 'c', level 0 \('xs'\) has a labelMap .* of 's' only, but output 'logits' has 2 values/,
    });
    assert.doesNotThrow(listing([1, 0], "s", "wide"));
    assert.doesNotThrow(listing([0, 1], "s", "logits"));
    const tokens = [spec("t", [-1, 2]), spec("real", [2], "BOOL")];
    const masked = confidence("min_token", { scores: "t", mask: "real" });
    assert.doesNotThrow(() => wire({ labelMap: [1, 0], ...masked }, tokens, tokens));
  });
});

describe("wiring of a confidence refuses", () => {
  const outputs = [spec("s", [2]), spec("n", [2], "INT32"), spec("text", [1], "BYTES"), spec("t", [-1, 2])];
  const refusals: readonly (readonly [string, Partial<CascadeLevel>, RegExp])[] = [
    [
      "an unknown function",
      confidence("best", { scores: "s" }),
      /wrong confidence: confidence function 'best' is unknown/,
    ],
    [
      "a wrong parameter",
      confidence("platt", { scores: "s" }),
      /wrong confidence: .*'platt': needs the parameter 'alpha'/,
    ],
    [
      "a role that the function has not",
      confidence("margin", { scores: "s", mask: "s" }),
      /'mask', but 'margin' has the roles scores/,
    ],
    ["a missing role", confidence("qa_span", { start: "s" }), /has no output '' for the confidence's role 'end'/],
    [
      "an output that the level has not",
      confidence("margin", { scores: "z" }),
      /has no output 'z' for .* role 'scores'/,
    ],
    [
      "scores that are whole numbers",
      confidence("margin", { scores: "n" }),
      /cannot take output 'n' .* datatype INT32/,
    ],
    [
      "a mask of texts",
      confidence("min_token", { scores: "t", mask: "text" }),
      /cannot take output 'text' .* a mask holds/,
    ],
    [
      "token scores without tokens",
      confidence("mean_log", { scores: "s" }),
      /shape \[2\] a row; 'mean_log' takes \[tokens/,
    ],
    ["several numbers as the model's own", confidence("model_output", { scores: "s" }), /takes one number a row/],
    [
      "a label map without class scores",
      { labelMap: [1, 0], ...confidence("qa_span", { start: "s", end: "s" }) },
      /has a labelMap, but its confidence 'qa_span' reads no class scores/,
    ],
    ["a label map without a confidence", { labelMap: [1, 0], confidence: null }, /has a labelMap but no confidence/],
    [
      "a label map of another size",
      { labelMap: [1, 0, 2], ...confidence("margin", { scores: "s" }) },
      /maps 3 labels, but output 's' has 2 classes/,
    ],
  ];
  for (const [what, configured, text] of refusals) {
    it(what, () => {
      assert.throws(
        () => wire(configured, outputs),
        (error) =>
          error instanceof InferenceError &&
          error.code === "INVALID_ARGUMENT" &&
          error.message.startsWith("cascade 'c', level 0 ('xs') ") &&
          text.test(error.message),
      );
    });
  }
});
