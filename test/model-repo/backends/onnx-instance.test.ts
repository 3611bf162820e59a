/** ONNX instances with the real runtime in real threads, and threads that misbehave. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import type { BoundTensor } from "../../../model-repo/backends/batch-memory.ts";
import { OnnxInstance, type OnnxInstanceOptions } from "../../../model-repo/backends/onnx-instance.ts";
import type { DataType } from "../../../proto/datatypes.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { type Clock, SystemClock, VirtualClock } from "../../../scheduler/clock.ts";
import { addModel, identityModel, matMulModel, node, onnxModel, tensorInfo } from "../../support/onnx-writer.ts";
import { bytes, floats, fp32, request } from "../../support/tensors.ts";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "hybridserve-test-"));
});
after(() => rm(directory, { recursive: true, force: true }));

let files = 0;
const logged: string[] = [];

async function start(
  model: Uint8Array,
  inputs: readonly BoundTensor[],
  outputs: readonly BoundTensor[],
  overrides: Partial<OnnxInstanceOptions> = {},
): Promise<OnnxInstance> {
  const modelPath = join(directory, `${files++}.onnx`);
  await writeFile(modelPath, model);
  const write = (_: object, text: string) => logged.push(text);
  return OnnxInstance.start({
    name: "m_0",
    model: "m",
    modelPath,
    settings: {
      intraOpThreads: 1,
      interOpThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableMemArena: true,
      enableMemPattern: true,
      extra: { "session.intra_op.allow_spinning": "0" },
    },
    batches: true,
    inputs,
    outputs,
    clock: new SystemClock(),
    log: { info: write, warn: write, error: write },
    ...overrides,
  });
}

function bound(name: string, datatype: DataType, dims: number[]): BoundTensor {
  return { name, datatype, dims, reshape: undefined };
}

const X = [bound("x", "FP32", [2])];
const Y = [bound("y", "FP32", [2])];

describe("datatypes", () => {
  const elements: Partial<Record<DataType, ArrayBufferView>> = {
    BOOL: Uint8Array.of(1, 0),
    UINT8: Uint8Array.of(0, 255),
    UINT16: Uint16Array.of(1, 65_535),
    UINT32: Uint32Array.of(1, 2 ** 32 - 1),
    UINT64: BigUint64Array.of(1n, 2n ** 64n - 1n),
    INT8: Int8Array.of(-128, 127),
    INT16: Int16Array.of(-1, 2),
    INT32: Int32Array.of(-1, 2 ** 31 - 1),
    INT64: BigInt64Array.of(-1n, 2n ** 62n),
    FP16: Uint16Array.of(0x3c00, 0xc000),
    FP32: Float32Array.of(0.5, -3),
    FP64: Float64Array.of(0.1, -3),
  };
  for (const [name, view] of Object.entries(elements)) {
    it(`${name} passes unchanged`, async () => {
      const datatype = name as DataType;
      const tensor = [bound("x", datatype, [2])];
      const instance = await start(identityModel(datatype, ["N", 2]), tensor, [bound("y", datatype, [2])]);
      const data = new Uint8Array(view.buffer);
      const { outputs } = await instance.execute([request({ inputs: [{ name: "x", datatype, shape: [1, 2], data }] })]);
      assert.deepEqual(outputs, [[{ name: "y", datatype, shape: [1, 2], data }]]);
      await instance.close();
    });
  }

  it("BYTES passes unchanged and splits by element", async () => {
    const instance = await start(
      identityModel("BYTES", ["N", 1]),
      [bound("x", "BYTES", [1])],
      [bound("y", "BYTES", [1])],
    );
    const inputs = [bytes("x", [1, 1], ["a"]), bytes("x", [2, 1], ["", "größer €"])];
    const { outputs } = await instance.execute(inputs.map((input) => request({ inputs: [input] })));
    assert.deepEqual(
      outputs.map(([output]) => [output?.shape, output?.data]),
      inputs.map((input) => [input.shape, input.data]),
    );
    const binary: Tensor = { ...bytes("x", [1, 1], ["?"]), data: Uint8Array.of(1, 0, 0, 0, 0xff) };
    await assert.rejects(instance.execute([request({ inputs: [binary] })]), {
      code: "INVALID_ARGUMENT",
      message: /UTF-8/,
    });
    await instance.close();
  });

  it("scalars and whole shapes pass without batching", async () => {
    const scalar = await start(identityModel("FP32", []), [bound("x", "FP32", [])], [bound("y", "FP32", [])], {
      batches: false,
    });
    const { outputs } = await scalar.execute([request({ inputs: [fp32("x", [], [7])] })]);
    assert.deepEqual([outputs[0]?.[0]?.shape, floats(outputs[0]?.[0])], [[], [7]]);
    await scalar.close();
  });

  it("refuses BF16 when the model is loaded, with a way out", async () => {
    await assert.rejects(start(identityModel("BF16", ["N", 2]), X, Y), {
      code: "UNIMPLEMENTED",
      message: /BF16.*FP32/,
    });
  });
});

describe("runs", () => {
  it("computes the batch of several requests at once and counts the time", async () => {
    const model = matMulModel(
      [
        [1, 0],
        [0, 2],
      ],
      [10, 20],
    );
    const instance = await start(model, X, Y);
    const batch = await instance.execute([
      request({ inputs: [fp32("x", [1, 2], [1, 1])] }),
      request({ inputs: [fp32("x", [2, 2], [2, 2, 3, 3])] }),
    ]);
    assert.deepEqual(
      batch.outputs.map(([output]) => floats(output)),
      [
        [11, 22],
        [12, 24, 13, 26],
      ],
    );
    const { computeInputMs, computeInferMs, computeOutputMs } = batch.timing;
    assert.ok(computeInputMs >= 0 && computeInferMs > 0 && computeOutputMs >= 0);
    await instance.close();
  });

  it("computes only outputs that somebody asked for", async () => {
    const model = onnxModel({
      nodes: [node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["z"])],
      inputs: [tensorInfo("x", "FP32", ["N", 2])],
      outputs: [tensorInfo("y", "FP32", ["N", 2]), tensorInfo("z", "FP32", ["N", 2])],
    });
    const instance = await start(model, X, [...Y, bound("z", "FP32", [2])]);
    const inputs = [fp32("x", [1, 2], [-1, 2])];
    const ask = (...names: string[]) =>
      request({ inputs, requestedOutputs: names.map((name) => ({ name, parameters: new Map() })) });
    const namesOf = (outputs: readonly (readonly Tensor[])[]) => outputs.map((all) => all.map(({ name }) => name));
    assert.deepEqual(namesOf((await instance.execute([ask("z")])).outputs), [["z"]]);
    assert.deepEqual(namesOf((await instance.execute([ask("z"), ask()])).outputs), [
      ["y", "z"],
      ["y", "z"],
    ]);
    await instance.close();
  });

  it("fails with the runtime's words and goes on", async () => {
    const model = onnxModel({
      nodes: [node("Reshape", ["x", "shape"], ["y"])],
      inputs: [tensorInfo("x", "FP32", ["N", 2]), tensorInfo("shape", "INT64", ["N"])],
      outputs: [tensorInfo("y", "FP32", ["M", 2])],
    });
    const instance = await start(model, [...X, bound("shape", "INT64", [])], Y);
    const ask = (rows: bigint) => {
      const shape = {
        name: "shape",
        datatype: "INT64",
        shape: [2],
        data: new Uint8Array(BigInt64Array.of(rows, 2n).buffer),
      } as const;
      return instance.execute([request({ inputs: [fp32("x", [2, 2], [1, 2, 3, 4]), shape] })]);
    };
    await assert.rejects(ask(7n), {
      code: "INTERNAL",
      message: /^onnx runtime error 6: Non-zero status code returned/,
    });
    assert.deepEqual(floats((await ask(2n)).outputs[0]?.[0]), [1, 2, 3, 4]);
    await instance.close();
  });

  it("fails where the model gives fewer rows than it got", async () => {
    const model = onnxModel({
      nodes: [node("ReduceMax", ["x"], ["y"], [])],
      inputs: [tensorInfo("x", "FP32", ["N", 1])],
      outputs: [tensorInfo("y", "FP32", [1, 1])],
    });
    const instance = await start(model, [bound("x", "FP32", [1])], [bound("y", "FP32", [1])]);
    await assert.rejects(instance.execute([request({ inputs: [fp32("x", [2, 1], [1, 2])] })]), {
      code: "UNIMPLEMENTED",
      message:
        /^failed to split the output tensor 'y' in responses: expected batch size of at least 2 in model output, got 1$/,
    });
    await instance.close();
  });

  it("leaves the requests' memory as it was", async () => {
    const instance = await start(
      addModel("FP32", ["N", 2]),
      [bound("INPUT0", "FP32", [2]), bound("INPUT1", "FP32", [2])],
      [bound("OUTPUT0", "FP32", [2])],
    );
    const inputs = [fp32("INPUT0", [1, 2], [1, 2]), fp32("INPUT1", [1, 2], [3, 4])];
    for (let i = 0; i < 3; i++) {
      const { outputs } = await instance.execute([request({ inputs })]);
      assert.deepEqual(floats(outputs[0]?.[0]), [4, 6]);
    }
    assert.deepEqual(inputs.map(floats), [
      [1, 2],
      [3, 4],
    ]);
    await instance.close();
  });
});

describe("loading", () => {
  it("says why a file cannot be opened", async () => {
    await assert.rejects(start(Buffer.from("garbage"), X, Y), {
      code: "INTERNAL",
      message: /^onnx runtime error 7: Load model from .* failed:Protobuf parsing failed\.$/,
    });
    await assert.rejects(start(onnxModel({ nodes: [node("NoSuchOp", ["x"], ["y"])], inputs: [], outputs: [] }), X, Y), {
      code: "INTERNAL",
    });
  });

  it("refuses a model without the configured tensors", async () => {
    await assert.rejects(start(identityModel("INT32", ["N", 2]), X, Y), {
      code: "INVALID_ARGUMENT",
      message: "unable to load model 'm', the model file opens without a FP32 tensor 'x'",
    });
  });
});

describe("close", () => {
  it("waits for the run in flight, frees the session and refuses what comes later", async () => {
    const instance = await start(identityModel("FP32", ["N", 2]), X, Y);
    const run = instance.execute([request({ inputs: [fp32("x", [1, 2], [1, 2])] })]);
    const closed = instance.close();
    assert.equal(instance.close(), closed);
    assert.deepEqual(floats((await run).outputs[0]?.[0]), [1, 2]);
    await closed;
    await assert.rejects(instance.execute([request()]), { code: "UNAVAILABLE" });
  });
});

describe("a thread that dies", () => {
  /** Speaks the protocol; kills itself on the run number that its model path ends with. */
  const MORTAL = `
    import { parentPort } from "node:worker_threads";
    let runs = 0;
    parentPort.on("message", (message) => {
      if (message.type === "load") {
        const tensor = (name) => [{ name, datatype: "FP32", dims: [-1, 2] }];
        parentPort.postMessage({ type: "loaded", inputs: tensor("x"), outputs: tensor("y") });
      } else if (message.type === "close") {
        parentPort.postMessage({ type: "closed" });
        parentPort.close();
      } else if (++runs === 2) {
        process.exit(3);
      } else {
        const { id, buffer, inputs } = message;
        const data = buffer.slice(0, inputs[0].byteLength);
        const outputs = [{ dims: inputs[0].dims, data }];
        parentPort.postMessage({ type: "ran", id, buffer, outputs, inputMs: 0, runMs: 1 }, [buffer]);
      }
    });`;

  async function startMortal(clock: Clock): Promise<OnnxInstance> {
    const file = join(directory, "mortal.mjs");
    await writeFile(file, MORTAL);
    return start(new Uint8Array(), X, Y, { mainFile: pathToFileURL(file), clock, random: () => 0 });
  }

  const run = (instance: OnnxInstance) => instance.execute([request({ inputs: [fp32("x", [1, 2], [1, 2])] })]);

  it("fails the open calls, then refuses at once, and is replaced", async () => {
    const clock = new VirtualClock();
    const instance = await startMortal(clock);
    await run(instance);
    const died = { code: "UNAVAILABLE", message: "instance 'm_0' of model 'm' died: exit code 3" };
    await assert.rejects(run(instance), died);
    const refused = { code: "UNAVAILABLE", message: `${died.message}; it is started again in 0.2 s` };
    await assert.rejects(run(instance), refused);
    assert.match(logged.at(-1) ?? "", /died: exit code 3; it is started again$/);
    await clock.advance(199);
    await assert.rejects(run(instance), refused);
    await clock.advance(1);
    for (let alive = false; !alive; ) {
      await new Promise((resolve) => setImmediate(resolve));
      alive = await run(instance).then(
        () => true,
        () => false,
      );
    }
    await instance.close();
  });

  it("can be closed while dead, and is not replaced any more", async () => {
    const clock = new VirtualClock();
    const instance = await startMortal(clock);
    await run(instance);
    await assert.rejects(run(instance));
    await instance.close();
    await clock.advance(100_000);
    await assert.rejects(run(instance), { code: "UNAVAILABLE" });
  });
});
