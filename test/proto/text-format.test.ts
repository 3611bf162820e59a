import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { InferenceError } from "../../proto/errors.ts";
import { loadDescriptors } from "../../proto/load.ts";
import { parseTextProto } from "../../proto/text-format.ts";

const type = loadDescriptors().lookupType("inference.ModelConfig");
const parse = (text: string) => parseTextProto(type, text, "dir/config.pbtxt");

describe("parseTextProto", () => {
  it("fills scalars and lists in, and leaves messages out that are not given", () => {
    const { message } = parse('name: "m" version_policy { all { } } input { dims: [ -1, 4 ] data_type: TYPE_FP16 }');
    assert.equal(message["name"], "m");
    assert.equal(message["max_batch_size"], 0);
    assert.deepEqual(message["output"], []);
    assert.deepEqual(message["parameters"], {});
    assert.deepEqual(message["version_policy"], { all: {} });
    assert.equal(Object.hasOwn(message, "dynamic_batching"), false);
    const [input] = message["input"] as { dims: number[]; data_type: string; format: string; reshape?: unknown }[];
    assert.deepEqual([input?.dims, input?.data_type, input?.format], [[-1, 4], "TYPE_FP16", "FORMAT_NONE"]);
    assert.equal(input !== undefined && Object.hasOwn(input, "reshape"), false);
  });

  it("keeps strange map keys as keys", () => {
    const entry = (key: string) => `parameters { key: "${key}" value { string_value: "v" } }`;
    const { message } = parse(["__proto__", "constructor", "toString"].map(entry).join(" "));
    const parameters = message["parameters"] as object;
    assert.deepEqual(Object.keys(parameters).sort(), ["__proto__", "constructor", "toString"]);
    assert.equal(Object.getPrototypeOf(parameters), Object.prototype);
  });

  it("knows the line of every field", () => {
    const { lineOf } = parse(`name: "m" # one
max_batch_size: 8
input [
  { name: "a # no comment" dims: [ -1,
      4 ] },
  { name: 'b'
    dims: 3
    dims: 4 }
]
parameters { key: "k" value { string_value: "4"
  } }
parameters < value < string_value: "5" > key: "__proto__" >
dynamic_batching {
  priority_queue_policy { key: 1
    value { timeout_action: DELAY } }
}`);
    const lines: Record<string, number | undefined> = {
      name: 1,
      max_batch_size: 2,
      input: 4,
      "input[0]": 4,
      "input[0].dims": 4,
      "input[0].dims[0]": 4,
      "input[0].dims[1]": 5,
      "input[1]": 6,
      "input[1].dims[1]": 8,
      "input[1].reshape.shape": 6,
      'parameters["k"].string_value': 10,
      'parameters["__proto__"]': 12,
      dynamic_batching: 13,
      "dynamic_batching.preserve_ordering": 13,
      'dynamic_batching.priority_queue_policy["1"].timeout_action': 15,
      output: undefined,
      "output[0].dims": undefined,
    };
    for (const [path, line] of Object.entries(lines)) assert.equal(lineOf(path), line, path);
  });

  const failures: readonly (readonly [string, string])[] = [
    ["\nnosuch: 1", "unknown field 'nosuch' in ModelConfig (dir/config.pbtxt:2)"],
    ['max_batch_size: "8"', 'max_batch_size: expected an integer of 32 bits, not "8" (dir/config.pbtxt:1)'],
    [
      "max_batch_size: 2147483648",
      "max_batch_size: expected an integer of 32 bits, not 2147483648 (dir/config.pbtxt:1)",
    ],
    [
      "\n\ninput { dims: [ 1, 2.5 ] }",
      "input[0].dims[1]: expected an integer of 64 bits, not 2.5 (dir/config.pbtxt:3)",
    ],
    [
      "dynamic_batching {\n max_queue_delay_microseconds: -1 }",
      "dynamic_batching.max_queue_delay_microseconds: expected a non-negative integer of 64 bits, not -1 (dir/config.pbtxt:2)",
    ],
    ["input { optional: yes }", "input[0].optional: expected true or false, not yes (dir/config.pbtxt:1)"],
    [
      "instance_group { kind: KIND_TPU }",
      "instance_group[0].kind: 'KIND_TPU' is not a Kind; use one of KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL (dir/config.pbtxt:1)",
    ],
    ['name: "a"\nmax_batch_size: 1\nname: "b"', "'name' is given twice (dir/config.pbtxt:3)"],
    [
      "dynamic_batching { }\nsequence_batching { }",
      "only one of 'dynamic_batching', 'sequence_batching', 'ensemble_scheduling' can be given (dir/config.pbtxt:2)",
    ],
    ["input {\n", "expected '}' (dir/config.pbtxt:2)"],
    ['name: "open', "unterminated string (dir/config.pbtxt:1)"],
    ["name: m", "expected string (dir/config.pbtxt:1)"],
  ];
  for (const [text, detail] of failures) {
    it(`says of ${JSON.stringify(text)} what and where`, () => {
      assert.throws(() => parse(text), {
        name: "InferenceError",
        code: "INVALID_ARGUMENT",
        message: `failed to read text proto from dir/config.pbtxt: ${detail}`,
      });
    });
  }

  it("ends deep nesting", () => {
    const text = "input { reshape ".padEnd(20) + "{ ".repeat(10_000);
    assert.throws(() => parse(text), { code: "INVALID_ARGUMENT" });
    assert.throws(() => parse(`parameters ${"[".repeat(10_000)}`), { code: "INVALID_ARGUMENT" });
  });

  it("reads or refuses anything made of a configuration's words", () => {
    const words = fc.constantFrom(
      ..."input output dims : [ ] { } < > , ; - # \n \" ' 1 -1 0x1F 1e9 name \"n\" 'n' data_type TYPE_FP32 parameters key value".split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        try {
          parse(parts.join(" "));
        } catch (error) {
          assert.ok(error instanceof InferenceError, String(error));
          assert.equal(error.code, "INVALID_ARGUMENT");
        }
      }),
      { numRuns: 3_000, seed: 7 },
    );
  });
});
