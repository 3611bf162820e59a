/** What control requests and versions may look like. */
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { writeTemporaryModel } from "../../model-repo/file-override.ts";
import { checkLoadName, parseLoadParameters, parseUnloadParameters } from "../../model-repo/load-parameters.ts";
import type { RepositoryParameter } from "../../model-repo/repository-types.ts";
import { parseVersion } from "../../model-repo/version-number.ts";

describe("parseVersion", () => {
  it("reads as C's stol", () => {
    assert.equal(parseVersion(""), undefined);
    assert.equal(parseVersion("3"), 3);
    assert.equal(parseVersion(" 03x"), 3);
    assert.equal(parseVersion("0"), 0);
  });

  it("refuses what is no number", () => {
    for (const text of ["x", "v1", "-", "9223372036854775808"]) {
      assert.throws(() => parseVersion(text), {
        code: "INVALID_ARGUMENT",
        message:
          `failed to get model version from specified version string '${text}' (details: stol), version should be an ` +
          "integral value > 0",
      });
    }
    assert.throws(() => parseVersion("-1"), {
      message: "invalid model version specified '-1' , version should be an integral value > 0",
    });
  });
});

describe("load and unload parameters", () => {
  const parse = (key: string, parameter: RepositoryParameter) => parseLoadParameters(new Map([[key, parameter]]));

  it("reads config and files", () => {
    assert.equal(parseLoadParameters(new Map()), undefined);
    assert.equal(parse("config", { kind: "string", value: "{}" })?.config, "{}");
    const files = parse("file:1/model.onnx", { kind: "bytes", value: new Uint8Array(3) })?.files;
    assert.deepEqual([...(files?.keys() ?? [])], ["1/model.onnx"]);
  });

  it("refuses wrong types and unknown keys in Triton's words", () => {
    const wrong: [string, RepositoryParameter, string][] = [
      [
        "config",
        { kind: "bool", value: true },
        "invalid value type for load parameter 'config', expected string_param.",
      ],
      [
        "file:1/m",
        { kind: "string", value: "" },
        "invalid value type for load parameter 'file:1/m', expected bytes_param.",
      ],
      ["speed", { kind: "int64", value: 1n }, "unrecognized load parameter 'speed'."],
    ];
    for (const [key, parameter, message] of wrong) {
      assert.throws(() => parse(key, parameter), { code: "INVALID_ARGUMENT", message });
    }
    assert.throws(() => parseUnloadParameters(new Map([["unload_dependents", { kind: "int64", value: 1n }]])), {
      message: "invalid value type for 'unload_dependents' parameter, expected bool_param.",
    });
  });

  it("refuses names that lead elsewhere and takes the others", () => {
    for (const name of ["", "  ", "\t"])
      assert.throws(() => checkLoadName(name), /^InferenceError: Model name cannot be empty/);
    for (const name of ["..", " ..", ".. ", "../etc", "a/../b", "/etc/passwd", "model/", "model/subdir"]) {
      assert.throws(() => checkLoadName(name), /must not contain path traversal characters/);
    }
    for (const name of ["...", "..my_model", "model..1", "\\", "%2e%2e%2f", "__proto__"]) checkLoadName(name);
  });
});

describe("writeTemporaryModel", () => {
  it("writes the files into a private directory named after the model", async () => {
    const { directory, remove } = await writeTemporaryModel("m", new Map([["1/model.onnx", Buffer.from("bytes")]]));
    assert.equal(await readFile(join(directory, "1", "model.onnx"), "utf8"), "bytes");
    assert.equal((await stat(dirname(directory))).mode & 0o777, 0o700);
    await remove();
    await assert.rejects(stat(dirname(directory)), { code: "ENOENT" });
  });

  it("refuses keys with other than two plain parts", async () => {
    const keys = [
      "model.onnx",
      "1/a/b",
      "../x",
      "1/..",
      "1/.",
      "1/",
      "01/x",
      "0/x",
      "-1/x",
      "1/\0",
      "1/a\\b",
      "1/\n",
      "",
    ];
    for (const key of [...keys, `1/${"x".repeat(256)}`]) {
      await assert.rejects(writeTemporaryModel("m", new Map([[key, new Uint8Array()]])), /not of the form/);
    }
    await assert.rejects(writeTemporaryModel("..", new Map([["1/x", new Uint8Array()]])), /cannot be the name/);
  });
});
