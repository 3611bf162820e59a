/** Instances in real child processes: what goes through the socket, how they end, what they are held to. Each starts in 0.1 to 0.4 s. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { OnnxInstance } from "../../../model-repo/backends/onnx-instance.ts";
import { readProcessMemory } from "../../../model-repo/backends/process-usage.ts";
import { InstanceLostError } from "../../../scheduler/lost-batch.ts";
import { identityModel, node, onnxModel, tensor, tensorInfo } from "../../support/onnx-writer.ts";
import { bytes, floats, fp32, request } from "../../support/tensors.ts";
import {
  ABORT,
  DELAY,
  EXIT,
  fragileOptions,
  HANG,
  isAlive,
  row,
  startFragile,
  until,
} from "../support/process-instances.ts";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "hybridserve-test-"));
});
after(() => rm(directory, { recursive: true, force: true }));

function pidOf(instance: OnnxInstance): number {
  const { pid } = instance.report;
  assert.ok(pid !== undefined);
  return pid;
}

describe("an ONNX model in a child process", () => {
  it("answers as in a thread, from empty to several megabytes, BYTES too", async () => {
    const modelPath = join(directory, "identity.onnx");
    const columns = 1_000;
    await writeFile(modelPath, identityModel("FP32", ["N", columns]));
    const tensors = { dims: [columns], datatype: "FP32", reshape: undefined } as const;
    const { mainFile: _, ...options } = fragileOptions([], {
      modelPath,
      inputs: [{ ...tensors, name: "x" }],
      outputs: [{ ...tensors, name: "y" }],
    });
    const instance = await OnnxInstance.start(options);
    for (const rows of [1, 0, 150, 1_500, 2]) {
      const values = Array.from({ length: rows * columns }, (_, i) => i % 1_009);
      const { outputs } = await instance.execute([request({ inputs: [fp32("x", [rows, columns], values)] })]);
      assert.deepEqual(outputs[0]?.[0]?.shape, [rows, columns]);
      assert.deepEqual(floats(outputs[0]?.[0]), values);
    }
    const two = [
      fp32("x", [1, columns], new Array(columns).fill(1)),
      fp32("x", [2, columns], new Array(2_000).fill(2)),
    ];
    const { outputs } = await instance.execute(two.map((input) => request({ inputs: [input] })));
    assert.deepEqual(
      outputs.map(([output]) => [output?.shape[0], floats(output)[0]]),
      [
        [1, 1],
        [2, 2],
      ],
    );
    // Runs that wait in the process at the same time, all too large for a socket's buffer.
    const overlapping = [1, 2, 3].map(async (value) => {
      const input = fp32("x", [150, columns], new Array(150 * columns).fill(value));
      const run = await instance.execute([request({ inputs: [input] })]);
      return new Set(floats(run.outputs[0]?.[0]));
    });
    assert.deepEqual(await Promise.all(overlapping), [new Set([1]), new Set([2]), new Set([3])]);
    const pid = pidOf(instance);
    await instance.close();
    assert.ok(!isAlive(pid));

    await writeFile(modelPath, identityModel("BYTES", ["N", 1]));
    const text = { dims: [1], datatype: "BYTES", reshape: undefined } as const;
    const texts = await OnnxInstance.start({
      ...options,
      inputs: [{ ...text, name: "x" }],
      outputs: [{ ...text, name: "y" }],
    });
    const words = bytes("x", [2, 1], ["", "größer"]);
    assert.deepEqual((await texts.execute([request({ inputs: [words] })])).outputs[0]?.[0]?.data, words.data);
    const binary = { ...words, data: Uint8Array.of(1, 0, 0, 0, 0xff, 0, 0, 0, 0) };
    await assert.rejects(texts.execute([request({ inputs: [binary] })]), {
      code: "INVALID_ARGUMENT",
      message: /UTF-8/,
    });
    await texts.close();
  });

  it("fails to load with the runtime's reason", async () => {
    const modelPath = join(directory, "garbage.onnx");
    await writeFile(modelPath, "garbage");
    const { mainFile: _, ...options } = fragileOptions([], { modelPath });
    await assert.rejects(OnnxInstance.start(options), { code: "INTERNAL", message: /Protobuf parsing failed/ });
  });

  it("refuses a CUDA device where the provider is missing, and says what to do", async (t) => {
    const modelPath = join(directory, "cuda.onnx");
    await writeFile(modelPath, identityModel("FP32", ["N", 2]));
    const { mainFile: _, settings, ...options } = fragileOptions([], { modelPath });
    const started = OnnxInstance.start({ ...options, settings: { ...settings, device: "cuda:0" } });
    const instance = await started.catch((error: unknown) => error);
    if (instance instanceof OnnxInstance) {
      t.diagnostic("this machine has the CUDA provider");
      await instance.close();
    } else {
      assert.match(String(instance), /CUDA provider cannot be loaded: .*'hybridserve doctor' says how to install it/);
    }
  });
});

describe("a child process that ends", () => {
  it("fails its batch as lost, says how it ended, and is replaced", async () => {
    const lines: string[] = [];
    const instance = await startFragile(lines);
    const first = pidOf(instance);
    assert.deepEqual(floats((await instance.execute([row(1)])).outputs[0]?.[0]), [1, 0]);
    let changes = 0;
    instance.onOutageChange(() => changes++);
    const running = instance.execute([row(DELAY + 5_000)]);
    process.kill(first, "SIGKILL");
    await assert.rejects(running, (error: unknown) => {
      assert.ok(error instanceof InstanceLostError);
      assert.equal(error.message, "instance 'm_0' of model 'm' died: killed by SIGKILL");
      return error.code === "UNAVAILABLE";
    });
    assert.equal(instance.outage?.isDown, false);
    await assert.rejects(instance.execute([row(1)]), { code: "UNAVAILABLE", message: /started again in 0.2 s$/ });
    await until(() => instance.outage === undefined);
    assert.equal(changes, 2);
    assert.deepEqual(floats((await instance.execute([row(2)])).outputs[0]?.[0]), [2, 0]);

    await assert.rejects(instance.execute([row(EXIT)]), { message: /died: exit code 3 \(no more\)$/ });
    await until(() => instance.outage === undefined);
    await assert.rejects(instance.execute([row(ABORT)]), { message: /died: killed by SIGABRT/ });
    await until(() => instance.outage === undefined);
    const { state, crashes, hangs, restarts, pid } = instance.report;
    assert.deepEqual([state, crashes, hangs, restarts], ["ready", 3, 0, 3]);
    assert.ok(pid !== first);
    assert.ok(lines.includes("loads now"), "what it prints is in the log, without colours");
    assert.ok(lines.includes("no more"));
    await instance.close();
  });

  it("while it loads fails the load", async () => {
    await assert.rejects(startFragile([], { modelPath: "/abort" }), { code: "UNAVAILABLE", message: /SIGABRT/ });
  });

  it("hung is answered and replaced, whatever it does", async () => {
    const instance = await startFragile([], { placement: { isolation: "process", runLimitMs: 300 } });
    const first = pidOf(instance);
    const startedMs = performance.now();
    await assert.rejects(instance.execute([row(HANG)]), {
      code: "INTERNAL",
      message: /^instance 'm_0' of model 'm' did not answer within 300 ms and was stopped; .*'run_time_limit_ms'$/,
    });
    assert.ok(performance.now() - startedMs < 2_000);
    await until(() => instance.outage === undefined);
    assert.ok(!isAlive(first));
    assert.deepEqual(floats((await instance.execute([row(2)])).outputs[0]?.[0]), [2, 0]);
    assert.equal(instance.report.hangs, 1);
    await instance.close();
  });

  it("is not outlived by a child that hangs when the server is killed", async () => {
    const code = `
      const { startFragile, row, HANG } = await import(${JSON.stringify(new URL("../support/process-instances.ts", import.meta.url))});
      const instance = await startFragile();
      console.log(instance.report.pid);
      await instance.execute([row(${HANG})]);`;
    const server = spawn(process.execPath, ["--input-type=module", "--eval", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [chunk] = (await once(server.stdout, "data")) as [Buffer];
    const pid = Number(chunk.toString());
    assert.ok(isAlive(pid));
    server.kill("SIGKILL");
    await until(() => !isAlive(pid));
  });

  it("does not hear the signals that the server drains on", async () => {
    const instance = await startFragile();
    const running = instance.execute([row(DELAY + 200)]);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.kill(pidOf(instance), signal);
    assert.equal(floats((await running).outputs[0]?.[0])[0], DELAY + 200);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.kill(pidOf(instance), signal);
    assert.deepEqual(floats((await instance.execute([row(3)])).outputs[0]?.[0]), [3, 0]);
    await instance.close();
  });
});

describe("limits of a child process", () => {
  it("is pinned to its cores", async () => {
    const instance = await startFragile([], { placement: { isolation: "process", cpus: "0" } });
    assert.match(readFileSync(`/proc/${pidOf(instance)}/status`, "utf8"), /^Cpus_allowed_list:\t0$/m);
    await instance.close();
    const small = startFragile([], { placement: { isolation: "process", memoryLimitBytes: 20_000_000 } });
    await assert.rejects(small, {
      code: "RESOURCE_EXHAUSTED",
      message: /a process needs 96 MiB before it holds a model$/,
    });
    const missing = startFragile([], { placement: { isolation: "process", cpus: "4000" } });
    await assert.rejects(missing, { code: "UNAVAILABLE", message: /taskset: failed to set .* affinity/ });
    const wrong = startFragile([], { placement: { isolation: "process", cpus: "all" } });
    await assert.rejects(wrong, { code: "INVALID_ARGUMENT", message: "core set 'all' is not a list such as '0-3,8'" });
  });

  it("cannot load a model that needs more than its memory limit, and gives all memory back", async () => {
    const side = 4_000;
    const weights = tensor("w", "FP32", [side, side], new Uint8Array(side * side * 4).fill(1));
    const modelPath = join(directory, "large.onnx");
    const large = onnxModel({
      nodes: [node("MatMul", ["x", "w"], ["y"])],
      inputs: [tensorInfo("x", "FP32", ["N", side])],
      outputs: [tensorInfo("y", "FP32", ["N", side])],
      initializers: [weights],
    });
    await writeFile(modelPath, large);
    const tensors = { dims: [side], datatype: "FP32", reshape: undefined } as const;
    const { mainFile: _, ...options } = fragileOptions([], {
      modelPath,
      inputs: [{ ...tensors, name: "x" }],
      outputs: [{ ...tensors, name: "y" }],
    });
    const limited = (mebibytes: number) =>
      OnnxInstance.start({ ...options, placement: { isolation: "process", memoryLimitBytes: mebibytes * 2 ** 20 } });
    await assert.rejects(limited(130), {
      code: "RESOURCE_EXHAUSTED",
      message: /bad_alloc; it needs more than its memory limit of 130 MiB$/,
    });
    const before = process.memoryUsage.rss();
    const instance = await limited(400);
    const pid = pidOf(instance);
    const memory = readProcessMemory(pid);
    assert.ok(memory !== undefined && memory.peakResidentBytes >= memory.residentBytes);
    assert.ok(memory.residentBytes > weights.byteLength && memory.dataBytes < 400 * 2 ** 20);
    await instance.close();
    assert.ok(!isAlive(pid));
    assert.equal(readProcessMemory(pid), undefined);
    const grownBytes = process.memoryUsage.rss() - before;
    assert.ok(grownBytes < weights.byteLength / 4, `the server grew by ${grownBytes} bytes`);
  });

  it("fails a run that needs more memory, and is replaced", async (t) => {
    const modelPath = join(directory, "zeros.onnx");
    const zeros = onnxModel({
      nodes: [node("ConstantOfShape", ["shape"], ["y"])],
      inputs: [tensorInfo("shape", "INT64", [1])],
      outputs: [tensorInfo("y", "FP32", ["N"])],
    });
    await writeFile(modelPath, zeros);
    const { mainFile: _, ...options } = fragileOptions([], {
      modelPath,
      batches: false,
      inputs: [{ name: "shape", datatype: "INT64", dims: [1], reshape: undefined }],
      outputs: [{ name: "y", datatype: "FP32", dims: [-1], reshape: undefined }],
      placement: { isolation: "process", memoryLimitBytes: 300 * 2 ** 20 },
    });
    const instance = await OnnxInstance.start(options);
    t.after(() => instance.close());
    const ask = (count: number) => {
      const data = new Uint8Array(BigInt64Array.of(BigInt(count)).buffer);
      return instance.execute([request({ inputs: [{ name: "shape", datatype: "INT64", shape: [1], data }] })]);
    };
    await assert.rejects(ask(1e9), {
      code: "RESOURCE_EXHAUSTED",
      message: /(Failed to allocate memory|bad_alloc).*; it needs more than its memory limit of 300 MiB$/,
    });
    await until(() => instance.outage === undefined);
    assert.deepEqual(floats((await ask(3)).outputs[0]?.[0]), [0, 0, 0]);
    const { crashes, restarts } = instance.report;
    assert.deepEqual([crashes, restarts], [0, 1]);
  });
});
