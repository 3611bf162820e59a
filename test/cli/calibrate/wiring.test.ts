import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cascadeInputs, classesOf, scoresOf, withScores } from "../../../cli/calibrate/level-wiring.ts";
import { newCascade, newCascadeConfig } from "../../../cli/calibrate/new-cascade.ts";
import type { ModelSignature, TensorSpec } from "../../../scheduler/signature.ts";
import { cascadeLevel, modelSignature, spec } from "./signatures.ts";

const SMALL = modelSignature("small", [spec("x", [4])], [spec("scores", [3]), spec("hidden", [8])]);
const LARGE = modelSignature("large", [spec("image", [4])], [spec("logits", [3])]);
const UNBATCHED = modelSignature("plain", [spec("image", [-1, 4])], [spec("logits", [-1, 3])], 0);

function signatureOf(...models: readonly ModelSignature[]) {
  return (name: string) => models.find((model) => model.name === name) ?? LARGE;
}

describe("withScores", () => {
  it("leaves what names its scores", () => {
    const confidence = { function: "margin", kind: "logits", outputs: { scores: "hidden" }, params: {} } as const;
    const level = cascadeLevel("small", { confidence });
    assert.deepEqual(withScores([level], signatureOf(SMALL)), [level]);
  });

  it("gives a level without a confidence the tensor that becomes the cascade's output", () => {
    const levels = [
      cascadeLevel("small", { outputs: { answer: "hidden" } }),
      cascadeLevel("large", { outputs: { answer: "logits" } }),
    ];
    assert.deepEqual(
      withScores(levels, signatureOf(SMALL, LARGE)).map((level) => level.confidence?.outputs),
      [{ scores: "hidden" }, { scores: "logits" }],
    );
  });

  it("gives it the only tensor of scores where nothing is mapped", () => {
    const levels = withScores([cascadeLevel("small"), cascadeLevel("large")], signatureOf(SMALL, LARGE));
    assert.deepEqual(
      levels.map((level) => level.confidence?.outputs["scores"]),
      ["scores", "logits"],
    );
  });

  it("gives a level without a confidence the mask that the others read", () => {
    const sequence = modelSignature("s", [], [spec("y", [-1, 3]), spec("counts", [-1])]);
    const last = modelSignature("l", [], [spec("logits", [-1, 3]), spec("mask", [-1], "INT64")]);
    const outputs = { scores: "y", mask: "counts" };
    const confidence = { function: "min_token", kind: "logits", outputs, params: {} } as const;
    const small = cascadeLevel("s", { outputs: { logits: "y", mask: "counts" }, confidence });
    const masks = (large: ModelSignature) =>
      withScores([small, cascadeLevel("l")], signatureOf(sequence, large))[1]?.confidence?.outputs;
    assert.deepEqual(masks(last), { scores: "logits", mask: "mask" });
    assert.deepEqual(masks({ ...last, outputs: [spec("logits", [-1, 3])] }), { scores: "logits" });
  });

  it("refuses a level whose scores are not clear, naming its outputs", () => {
    const odd = modelSignature("odd", [], [spec("a", [3]), spec("b", [3])]);
    assert.throws(
      () => withScores([cascadeLevel("odd")], signatureOf(odd)),
      /'odd' has 2 floating-point outputs \(a, b\)/,
    );
  });
});

describe("cascadeInputs, scoresOf and classesOf", () => {
  it("take inputs under the cascade's names, one row's shape, each once", () => {
    const levels = [cascadeLevel("small", { inputs: { x: "image" } }), cascadeLevel("plain")];
    assert.deepEqual(cascadeInputs(levels, signatureOf(SMALL, UNBATCHED)), [spec("image", [4])]);
  });

  it("read the last level's scores and say how many classes they tell apart", () => {
    const levels = withScores([cascadeLevel("small"), cascadeLevel("large")], signatureOf(SMALL, LARGE));
    assert.deepEqual(scoresOf(levels, signatureOf(SMALL, LARGE)), spec("logits", [3]));
    assert.equal(classesOf(spec("logits", [3])), 3);
    assert.equal(classesOf(spec("p", [1])), 2);
    assert.equal(classesOf(spec("p", [-1])), null);
    const confidence = { function: "margin", kind: "logits", outputs: { scores: "none" }, params: {} } as const;
    assert.throws(
      () => scoresOf([cascadeLevel("large", { confidence })], signatureOf(LARGE)),
      /level 'large' has no output 'none'/,
    );
  });
});

describe("newCascade", () => {
  it("wires tensors of other names to the last level's", () => {
    const made = newCascade([SMALL, LARGE]);
    assert.deepEqual(made.inputs, [spec("image", [4])]);
    assert.deepEqual(made.output, spec("logits", [3]));
    assert.deepEqual(
      made.levels.map(({ inputs, outputs }) => ({ inputs, outputs })),
      [
        { inputs: { x: "image" }, outputs: { logits: "scores" } },
        { inputs: { image: "image" }, outputs: { logits: "logits" } },
      ],
    );
  });

  it("gives an input of another shape an input of its own, under a name of its own where that is taken", () => {
    const other = modelSignature("tiny", [spec("image", [2])], [spec("logits", [3])]);
    const made = newCascade([other, LARGE]);
    assert.deepEqual(made.inputs, [spec("image", [4]), spec("image_tiny", [2])]);
    assert.deepEqual(made.levels[0]?.inputs, { image: "image_tiny" });
  });

  it("reads the rows of a model that does not batch from its first dimension", () => {
    assert.deepEqual(newCascade([SMALL, UNBATCHED]).inputs, [spec("image", [4])]);
  });

  it("refuses one level, other classes and unclear scores", () => {
    assert.throws(() => newCascade([LARGE]), /at least two models/);
    const four = modelSignature("four", [spec("image", [4])], [spec("logits", [4])]);
    assert.throws(() => newCascade([four, LARGE]), /'four' \('logits', FP32 \[4\]\) are not like those of 'large'/);
    const none = modelSignature("none", [spec("image", [4])], [spec("label", [1], "INT64")]);
    assert.throws(() => newCascade([none, LARGE]), /'none' has no floating-point outputs \(label\)/);
  });

  it("lists the mask of sequence models, so that padding is no answer", () => {
    const sequence = (name: string, mask: readonly TensorSpec[]) =>
      modelSignature(name, [spec("tokens", [-1], "INT64")], [spec("logits", [-1, 10]), ...mask]);
    const mask = spec("mask", [-1], "INT64");
    const made = newCascade([sequence("s", [mask]), sequence("l", [mask])]);
    assert.deepEqual(made.mask, mask);
    for (const level of made.levels) {
      assert.deepEqual(level.outputs, { logits: "logits", mask: "mask" });
      assert.deepEqual(level.confidence?.outputs, { scores: "logits", mask: "mask" });
    }
    assert.match(newCascadeConfig("c", made), /name: "mask" data_type: TYPE_INT64 dims: \[ -1 \] },\n/);
    assert.equal(newCascade([sequence("s", []), sequence("l", [])]).mask, null);
    for (const levels of [
      [sequence("s", []), sequence("l", [mask])],
      [sequence("s", [mask]), sequence("l", [])],
      [sequence("s", [spec("mask", [-1], "BOOL")]), sequence("l", [mask])],
    ]) {
      assert.throws(() => newCascade(levels), /not all have the output 'mask'.*'s' .*'l' /);
    }
  });

  it("writes strings as config.pbtxt calls them", () => {
    const text = newCascadeConfig("c", {
      inputs: [spec("text", [1], "BYTES")],
      output: spec("p", [2]),
      mask: null,
      levels: [],
    });
    assert.match(text, /name: "text" data_type: TYPE_STRING dims: \[ 1 \]/);
    assert.match(text, /backend: "cascade"/);
  });
});
