import assert from "node:assert/strict";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import { readModel, readModelBytes } from "../../../proto/onnx/read-model.ts";
import {
  externalTensor,
  field,
  floatTensor,
  graphAttribute,
  intAttribute,
  matMulModel,
  node,
  onnxModel,
  tensor,
  tensorAttribute,
  tensorInfo,
  zeros,
  zipMapInfo,
} from "../../support/onnx-writer.ts";
import { dice, mutate } from "../codec/mutations.ts";

const read = (bytes: Uint8Array) => readModelBytes(bytes, "m.onnx");

describe("readModel", () => {
  it("tells inputs, outputs, initializers, versions and producer", async () => {
    const model = await read(
      matMulModel(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        [0, 1],
      ),
    );
    assert.equal(model.irVersion, 8);
    assert.deepEqual([...model.opsets], [["", 17]]);
    assert.equal(model.producer, "hybridserve-test");
    assert.equal(model.nodeCount, 2);
    assert.deepEqual([...model.domains], [""]);
    assert.deepEqual(model.inputs, [
      { name: "x", kind: "tensor", elementType: 1, datatype: "FP32", shape: [-1, 3], dimNames: ["N", ""] },
    ]);
    assert.deepEqual(
      model.outputs.map(({ name, shape }) => [name, shape]),
      [["y", [-1, 2]]],
    );
    assert.deepEqual(
      model.initializers.map(({ name, elementType, dims }) => [name, elementType, dims]),
      [
        ["weights", 1, [3, 2]],
        ["bias", 1, [2]],
      ],
    );
  });

  it("says where each initializer lies in the file", async () => {
    const bytes = matMulModel([[1, 2]], [7, 8]);
    const { initializers } = await read(bytes);
    for (const [i, values] of [
      [0, [1, 2]],
      [1, [7, 8]],
    ] as const) {
      const range = initializers[i]?.range;
      assert.ok(range !== undefined);
      const found = bytes.subarray(range.start, range.end);
      assert.deepEqual(found, floatTensor(i === 0 ? "weights" : "bias", i === 0 ? [1, 2] : [2], [...values]));
    }
  });

  it("keeps scalar, open dimension, named dimension and unknown rank apart", async () => {
    const model = await read(
      onnxModel({
        nodes: [],
        inputs: [
          tensorInfo("scalar", "FP32", []),
          tensorInfo("open", "FP32", [undefined, 2]),
          tensorInfo("named", "FP32", ["batch", 3]),
          tensorInfo("unknown", "FP32"),
        ],
        outputs: [],
      }),
    );
    assert.deepEqual(
      model.inputs.map(({ shape, dimNames }) => [shape, dimNames]),
      [
        [[], []],
        [
          [-1, 2],
          ["", ""],
        ],
        [
          [-1, 3],
          ["batch", ""],
        ],
        [undefined, []],
      ],
    );
  });

  it("maps every element type, and names those without a datatype", async () => {
    const types = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 99];
    const model = await read(
      onnxModel({ nodes: [], inputs: types.map((type) => tensorInfo(`t${type}`, type, [1])), outputs: [] }),
    );
    assert.deepEqual(
      model.inputs.map((input) => input.datatype),
      [
        ..."FP32 UINT8 INT8 UINT16 INT16 INT32 INT64 BYTES BOOL FP16 FP64 UINT32 UINT64".split(" "),
        undefined,
        "BF16",
        undefined,
        undefined,
      ],
    );
  });

  it("leaves initializers out of the inputs", async () => {
    const model = await read(
      onnxModel({
        irVersion: 3,
        nodes: [node("Add", ["x", "w"], ["y"])],
        inputs: [tensorInfo("x", "FP32", [1]), tensorInfo("w", "FP32", [1])],
        outputs: [tensorInfo("y", "FP32", [1])],
        initializers: [floatTensor("w", [1], [1])],
      }),
    );
    assert.deepEqual(
      model.inputs.map(({ name }) => name),
      ["x"],
    );
  });

  it("recognises sequences, maps, optional values and sparse tensors", async () => {
    const other = (kind: number) => Buffer.concat([field(1, `k${kind}`), field(2, field(kind, Buffer.alloc(0)))]);
    const model = await read(
      onnxModel({
        nodes: [],
        inputs: [],
        outputs: [zipMapInfo("probabilities"), other(5), other(8), other(9), other(7)],
      }),
    );
    assert.deepEqual(
      model.outputs.map(({ kind, datatype }) => [kind, datatype]),
      [
        ["sequence", undefined],
        ["map", undefined],
        ["sparse tensor", undefined],
        ["optional", undefined],
        ["unknown", undefined],
      ],
    );
  });

  it("collects domains and external data of subgraphs, constants and functions", async () => {
    const constant = node(
      "Constant",
      [],
      ["c"],
      [tensorAttribute("value", externalTensor("hidden", "FP32", [2], { location: "c.bin", offset: 8, length: 16 }))],
    );
    const inner = [node("StringSplit", ["s"], ["t"], [], "ai.onnx.contrib"), constant];
    const functionProto = Buffer.concat([field(1, "Mine"), field(7, node("Gelu", ["a"], ["b"], [], "com.microsoft"))]);
    const model = await read(
      onnxModel({
        opsets: { "ai.onnx": 18, "ai.onnx.contrib": 1 },
        nodes: [
          node("If", ["c"], ["y"], [graphAttribute("then_branch", [node("If", [], [], [graphAttribute("x", inner)])])]),
        ],
        inputs: [],
        outputs: [],
        initializers: [externalTensor("w", "FP16", [4], { location: "w.bin" })],
        extraModelFields: [field(25, functionProto)],
      }),
    );
    assert.deepEqual([...model.domains].sort(), ["", "ai.onnx.contrib", "com.microsoft"]);
    assert.equal(model.opsets.get(""), 18);
    assert.deepEqual(model.externalData, [
      { tensor: "hidden", location: "c.bin", offset: 8, length: 16 },
      { tensor: "w", location: "w.bin", offset: 0, length: undefined },
    ]);
    assert.deepEqual(model.initializers[0]?.externalData, model.externalData[1]);
  });

  it("reads packed dims, sparse initializers and large constants", async () => {
    const packed = Buffer.concat([field(1, Buffer.from([2, 3])), field(2, 1), field(8, "packed")]);
    const sparse = Buffer.concat([field(1, floatTensor("sparse", [1], [1])), field(3, 9), field(3, 9)]);
    const big = tensor("big", "FP32", [40_000], zeros("FP32", 40_000));
    const model = await read(
      onnxModel({
        nodes: [
          node("Constant", [], ["big"], [tensorAttribute("value", big), intAttribute("after", -1)], "after.bulk"),
        ],
        inputs: [],
        outputs: [tensorInfo("big", "FP32", [40_000])],
        initializers: [packed, big, floatTensor("last", [1], [2])],
        extraGraphFields: [field(15, sparse)],
      }),
    );
    assert.deepEqual(
      model.initializers.map(({ name, dims, range }) => [name, dims, range !== undefined]),
      [
        ["packed", [2, 3], true],
        ["big", [40_000], true],
        ["last", [1], true],
        ["sparse", [9, 9], false],
      ],
    );
    assert.ok(model.domains.has("after.bulk"), "what follows left-out weights is read");
  });

  it("reads files, and says what is wrong with one", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "onnx-"));
    t.after(() => rm(directory, { recursive: true }));
    const path = join(directory, "model.onnx");
    const failure = async (bytes: Uint8Array): Promise<string> => {
      await writeFile(path, bytes);
      return readModel(path).then(
        () => "none",
        (error: InferenceError) => `${error.code}: ${error.message.replaceAll(path, "FILE")}`,
      );
    };
    assert.equal(await failure(matMulModel([[1]], [1])), "none");
    assert.equal(await failure(Buffer.alloc(0)), "INVALID_ARGUMENT: 'FILE' is not a valid ONNX model: it is empty");
    assert.match(
      await failure(Buffer.from("version https://git-lfs.github.com/spec/v1\n")),
      /Git LFS pointer.*git lfs pull/,
    );
    assert.match(
      await failure(Buffer.from("<!DOCTYPE html><html>")),
      /INVALID_ARGUMENT: 'FILE' is not a valid ONNX model/,
    );
    assert.match(await failure(field(2, "nothing else")), /it has no graph/);
    await rm(path);
    await assert.rejects(readModel(path), { code: "UNAVAILABLE", message: /cannot read '.*model\.onnx': ENOENT/ });
    await assert.rejects(readModel(directory), { code: "UNAVAILABLE", message: /it is not a file/ });
    const file = await open(path, "w");
    await file.truncate(2 ** 31);
    await file.close();
    await assert.rejects(readModel(path), {
      code: "INVALID_ARGUMENT",
      message: /ONNX end at 2 GiB.*save_as_external_data/,
    });
  });
});

describe("readModel on damaged bytes", () => {
  const sound = onnxModel({
    nodes: [
      node("If", ["c"], ["y"], [graphAttribute("then_branch", [node("Identity", ["x"], ["y"])])]),
      node("Constant", [], ["k"], [tensorAttribute("value", floatTensor("", [2], [1, 2]))]),
    ],
    inputs: [tensorInfo("x", "FP32", ["N", 4, undefined]), tensorInfo("s", "BYTES")],
    outputs: [zipMapInfo("z"), tensorInfo("y", "INT64", [])],
    initializers: [
      externalTensor("w", "FP32", [4], { location: "w.bin", offset: 4096, length: 16 }),
      tensor("big", "UINT8", [9_000], zeros("UINT8", 9_000)),
    ],
  });

  /** Whether it could be read; anything but an InferenceError of the client's kind fails the test. */
  async function isReadable(bytes: Uint8Array): Promise<boolean> {
    try {
      await read(bytes);
      return true;
    } catch (error) {
      assert.ok(error instanceof InferenceError, String(error));
      assert.equal(error.code, "INVALID_ARGUMENT", error.message);
      return false;
    }
  }

  it("refuses or reads every truncation", async () => {
    let refused = 0;
    for (let length = 0; length < sound.byteLength; length += length < 1_200 ? 1 : 97) {
      if (!(await isReadable(sound.subarray(0, length)))) refused++;
    }
    assert.ok(refused > 1_000, `${refused} refused`);
  });

  it("refuses or reads 10,000 random mutations", async () => {
    const roll = dice(20_261_124);
    let refused = 0;
    for (let i = 0; i < 10_000; i++) if (!(await isReadable(mutate(sound, roll)))) refused++;
    assert.ok(refused > 1_000 && refused < 10_000, `${refused} refused`);
  });

  it("ends deep nesting, small and large", async () => {
    for (const padding of [0, 6_000]) {
      let deep = node("Identity", ["x"], ["y".repeat(padding + 1)]);
      for (let i = 0; i < 300; i++) deep = node("If", [], [], [graphAttribute("then_branch", [deep])]);
      await assert.rejects(read(onnxModel({ nodes: [deep], inputs: [], outputs: [] })), {
        code: "INVALID_ARGUMENT",
        message: /nested deeper than 100/,
      });
    }
  });

  it("refuses sizes that no number holds", async () => {
    const huge = Buffer.concat([field(1, Buffer.from([...Array.from({ length: 9 }, () => 0xff), 0x01])), field(2, 1)]);
    const cases = [
      onnxModel({
        nodes: [],
        inputs: [],
        outputs: [],
        initializers: [externalTensor("w", "FP32", [1], { location: "w", offset: 1e300 })],
      }),
      onnxModel({ nodes: [], inputs: [tensorInfo("x", "FP32", [2 ** 60])], outputs: [] }),
    ];
    for (const bytes of cases) await assert.rejects(read(bytes), { code: "INVALID_ARGUMENT" });
    // -1 packed as int64 is an open dimension.
    const model = await read(onnxModel({ nodes: [], inputs: [], outputs: [], initializers: [huge] }));
    assert.deepEqual(model.initializers[0]?.dims, [-1]);
  });
});
