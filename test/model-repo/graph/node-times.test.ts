/** Node times out of profiles as onnxruntime writes them, and differences of outputs. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { medianRunMs, nodeTimes } from "../../../model-repo/graph/node-times.ts";
import { outputDifference } from "../../../model-repo/graph/output-difference.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { fp32 } from "../../support/tensors.ts";

const event = (cat: string, name: string, dur: number) => ({ cat, name, dur, pid: 1, ph: "X", ts: 0, args: {} });

describe("nodeTimes", () => {
  const events = [
    event("Session", "session_initialization", 9_999),
    // The first run is slow; names of other events look like nodes' names.
    event("Node", "a_kernel_time", 50_000),
    event("Session", "a_kernel_time", 77_000),
    event("Session", "model_run", 90_000),
    event("Node", "a_kernel_time", 3_000),
    event("Node", "b_kernel_time", 1),
    event("Session", "model_run", 4_000),
    event("Node", "a_kernel_time", 1_000),
    event("Session", "model_run", 6_000),
    event("Node", "a_kernel_time", 2_000),
    event("Session", "model_run", 5_000),
  ];
  const profiled = { warmUpRuns: 1, runs: 3 };

  it("are medians of the runs that count, undefined where the runtime ran nothing", () => {
    assert.deepEqual(nodeTimes(events, ["folded", "a"], profiled), [undefined, 2]);
    assert.equal(medianRunMs(events, profiled), 5);
    assert.deepEqual(nodeTimes(events, ["a"], { warmUpRuns: 2, runs: 2 }), [1.5]);
  });

  it("refuses a profile of other runs and what is none", () => {
    assert.throws(() => nodeTimes(events, ["b"], profiled), /the profile has 1 events of 'b' for 4 runs/);
    assert.throws(() => nodeTimes(events, ["a"], { warmUpRuns: 4, runs: 0 }), /for 4 runs/);
    assert.throws(() => nodeTimes({}, ["a"], profiled), {
      code: "INTERNAL",
      message: "the profile is no list of events",
    });
  });
});

describe("outputDifference", () => {
  const compare = (left: Tensor, right: Tensor | undefined) => {
    const { isBitIdentical, maxAbs } = outputDifference(left, right);
    return [isBitIdentical, maxAbs];
  };
  const FAR = [false, Number.POSITIVE_INFINITY];

  it("is the largest of all elements", () => {
    assert.deepEqual(compare(fp32("y", [3], [1, 2, 3]), fp32("y", [3], [1, 2.5, 2.75])), [false, 0.5]);
    assert.deepEqual(compare(fp32("y", [2], [1, Number.NaN]), fp32("y", [2], [1, Number.NaN])), [true, 0]);
    assert.deepEqual(compare(fp32("y", [1], [0]), fp32("y", [1], [-0])), [false, 0]);
  });

  it("is without bound where shapes, datatypes, NaN or whole numbers differ", () => {
    const one = fp32("y", [1], [1]);
    assert.deepEqual(compare(one, fp32("y", [1], [Number.NaN])), FAR);
    assert.deepEqual(compare(one, fp32("y", [1, 1], [1])), FAR);
    assert.deepEqual(compare(one, { ...one, datatype: "INT32" }), FAR);
    assert.deepEqual(compare(one, undefined), FAR);
    const whole: Tensor = { name: "y", datatype: "UINT8", shape: [1], data: Uint8Array.of(1) };
    assert.deepEqual(compare(whole, { ...whole, data: Uint8Array.of(2) }), FAR);
  });
});
