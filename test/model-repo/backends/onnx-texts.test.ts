/** Strings, error texts and settings of the ONNX backend. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { BackendConfig } from "../../../model-repo/backends/backend.ts";
import { decodeStrings, encodeStrings } from "../../../model-repo/backends/bytes-elements.ts";
import type { SessionSettings } from "../../../model-repo/backends/instance-protocol.ts";
import { missingRuntime, onnxRuntimeError } from "../../../model-repo/backends/onnx-error.ts";
import { type OnnxPlacement, planOnnx } from "../../../model-repo/backends/onnx-settings.ts";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";

describe("BYTES elements", () => {
  it("survive the way to strings and back", () => {
    const text = fc.string({ unit: "binary" }).filter((s) => !s.includes("\0") && s.isWellFormed());
    fc.assert(
      fc.property(fc.array(text), (strings) => {
        const encoded = new Uint8Array(encodeStrings(strings));
        assert.deepEqual(decodeStrings("x", encoded), strings);
      }),
    );
  });

  it("are refused where a string cannot hold them", () => {
    for (const element of [
      [0xff, 0xfe],
      [0x61, 0, 0x62],
      [0xe2, 0x82],
    ]) {
      const data = Uint8Array.of(1, 0, 0, 0, 0x61, element.length, 0, 0, 0, ...element);
      assert.throws(() => decodeStrings("x", data), {
        code: "INVALID_ARGUMENT",
        message: /^input 'x': element 1 is not UTF-8 text without zero bytes/,
      });
    }
    const replacement = new Uint8Array(encodeStrings(["\uFFFD"]));
    assert.deepEqual(decodeStrings("x", replacement), ["\uFFFD"]);
  });
});

describe("onnx runtime errors", () => {
  const cases: [string, number][] = [
    ["Got invalid dimensions for input: x for the following indices", 2],
    ["Unexpected input data type. Actual: (tensor(int32)) , expected: (tensor(float))", 2],
    ["Load model from /m.onnx failed:Load model /m.onnx failed. File doesn't exist", 3],
    ["Non-zero status code returned while running Reshape node.", 6],
    ["Load model from /m.onnx failed:Protobuf parsing failed.", 7],
    ["Load model from /m.onnx failed:This is an invalid model. In Node, ...", 10],
    ["anything else", 1],
  ];
  for (const [text, code] of cases) {
    it(`"${text.slice(0, 30)}" is code ${code}`, () => {
      const error = onnxRuntimeError(new Error(text));
      assert.equal(error.code, "INTERNAL");
      assert.equal(error.message, `onnx runtime error ${code}: ${text}`);
    });
  }

  it("are shortened", () => {
    assert.ok(onnxRuntimeError(new Error("\u{1F600}".repeat(5000))).message.length < 1100);
  });

  it("name the machine where the library is missing", () => {
    const { code, message } = missingRuntime(new Error("Cannot find module '../bin/x.node'\nRequire stack:\n- a"));
    assert.equal(code, "UNAVAILABLE");
    assert.match(
      message,
      /^onnxruntime-node cannot be loaded for \S+ on Node \S+ \(Cannot find module '.*'\); .*Node 22$/,
    );
  });
});

describe("planOnnx", () => {
  const config = (parameters: Record<string, string>, counts: number[] = [1], level?: number): ModelConfig =>
    ({
      name: "m",
      parameters: Object.fromEntries(Object.entries(parameters).map(([key, string_value]) => [key, { string_value }])),
      instance_group: counts.map((count, i) => ({
        name: counts.length === 1 ? "m" : `m_${i}`,
        count,
        kind: "KIND_CPU",
        gpus: [],
      })),
      ...(level === undefined ? {} : { optimization: { graph: { level } } }),
    }) as unknown as ModelConfig;

  const settingsOf = (model: ModelConfig, backendConfig: BackendConfig = new Map()): SessionSettings => {
    const [instance] = planOnnx(model, backendConfig, 8).instances;
    assert.ok(instance);
    return instance.settings;
  };
  const namesOf = (placement: OnnxPlacement): string[] => placement.instances.map(({ name }) => name);

  it("gives one thread a session and no spinning by default", () => {
    const settings = {
      intraOpThreads: 1,
      interOpThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableMemArena: true,
      enableMemPattern: true,
      device: "cpu",
      extra: { "session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0" },
    };
    assert.deepEqual(planOnnx(config({}), new Map(), 8), {
      instances: [{ name: "m_0", settings, placement: { isolation: "thread" } }],
      threadCount: 1,
      warnings: [],
    });
  });

  it("reads the configuration, then the command line", () => {
    const backendConfig = new Map([
      [
        "onnxruntime",
        new Map([
          ["intra_op_thread_count", "3"],
          ["enable_mem_arena", "0"],
        ]),
      ],
    ]);
    const settings = settingsOf(
      config({ intra_op_thread_count: "2", execution_mode: "1", "session.disable_prepacking": "1" }, [1], 1),
      backendConfig,
    );
    assert.equal(settings.intraOpThreads, 2);
    assert.equal(settings.executionMode, "parallel");
    assert.equal(settings.graphOptimizationLevel, "extended");
    assert.equal(settings.enableMemArena, false);
    assert.equal(settings.extra["session.disable_prepacking"], "1");
    const levels = [-1, 0, 2].map((level) => settingsOf(config({}, [1], level)).graphOptimizationLevel);
    assert.deepEqual(levels, ["basic", "all", "disabled"]);
  });

  it("keeps instances x threads within the cores and says what it cut", () => {
    const many = planOnnx(config({ intra_op_thread_count: "2" }, [2, 3]), new Map(), 4);
    assert.deepEqual(namesOf(many), ["m_0_0", "m_0_1"]);
    assert.equal(many.threadCount, 4);
    assert.match(many.warnings[0] ?? "", /5 instances x 2 intra-op threads are more than the 4 cores .* gets 2/);
    const wide = planOnnx(config({ intra_op_thread_count: "16" }), new Map(), 4);
    assert.equal(wide.instances[0]?.settings.intraOpThreads, 4);
    assert.match(wide.warnings[0] ?? "", /intra_op_thread_count 16 is cut to the 4 cores/);
    assert.match(
      planOnnx(config({ "memory.enable_memory_arena_shrinkage": "cpu:0" }), new Map(), 4).warnings[0] ?? "",
      /ignored/,
    );
  });

  it("refuses values that are no numbers", () => {
    for (const [key, value] of [
      ["intra_op_thread_count", "-1"],
      ["execution_mode", "fast"],
      ["enable_mem_arena", "maybe"],
      ["isolation", "container"],
    ] as const) {
      assert.throws(() => planOnnx(config({ [key]: value }), new Map(), 4), {
        code: "INVALID_ARGUMENT",
        message: new RegExp(`^model 'm': parameter '${key}' is '${value}', expected`),
      });
    }
  });

  it("puts instances into processes with limits where asked", () => {
    const limits = { cpus: "0-1", memory_limit_bytes: "8000000000", run_time_limit_ms: "5000" };
    const { instances } = planOnnx(config({ isolation: "process", ...limits }), new Map(), 8);
    assert.deepEqual(instances[0]?.placement, {
      isolation: "process",
      cpus: "0-1",
      memoryLimitBytes: 8_000_000_000,
      runLimitMs: 5_000,
    });
    assert.throws(() => planOnnx(config({ isolation: "process", cpus: "all" }), new Map(), 8), {
      code: "INVALID_ARGUMENT",
      message: "model 'm': core set 'all' is not a list such as '0-3,8'",
    });
    assert.throws(() => planOnnx(config({ isolation: "process", memory_limit_bytes: "1000" }), new Map(), 8), {
      code: "RESOURCE_EXHAUSTED",
    });
    assert.throws(() => planOnnx(config({ cpus: "0-1" }), new Map(), 8), {
      code: "INVALID_ARGUMENT",
      message: "model 'm': parameter 'cpus' needs a process: add parameter 'isolation' with the value 'process'",
    });
  });

  it("spreads a group of GPUs over them, in processes, beside the cores", () => {
    const onGpu = (gpus: number[], count: number) => ({ name: "g", count, kind: "KIND_GPU", gpus }) as const;
    const mixed = {
      ...config({}, [3]),
      instance_group: [onGpu([], 2), { ...onGpu([], 5), name: "c", kind: "KIND_CPU" }],
    } as unknown as ModelConfig;
    const placement = planOnnx(mixed, new Map(), 2, [0, 1]);
    assert.deepEqual(
      placement.instances.map(({ name, settings, placement: { isolation } }) => [name, settings.device, isolation]),
      [
        ["g_0", "cuda:0", "process"],
        ["g_1", "cuda:0", "process"],
        ["g_2", "cuda:1", "process"],
        ["g_3", "cuda:1", "process"],
        ["c_0", "cpu", "thread"],
        ["c_1", "cpu", "thread"],
      ],
    );
    assert.equal(placement.threadCount, 2);
    const one = { ...mixed, instance_group: [onGpu([1], 1)] } as unknown as ModelConfig;
    assert.deepEqual(planOnnx(one, new Map(), 2, [0, 1]).instances[0]?.settings.device, "cuda:1");
  });
});
