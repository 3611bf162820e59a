import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseJsonProto } from "../../proto/json-format.ts";
import { loadDescriptors } from "../../proto/load.ts";

const type = loadDescriptors().lookupType("inference.ModelConfig");
const parse = (json: string) => parseJsonProto(type, json, "Invalid config override");

describe("parseJsonProto", () => {
  it("takes both spellings of names, enum names in any case, and 64-bit integers as text", () => {
    const message = parse(
      '{"maxBatchSize":8,"input":[{"name":"x","data_type":"type_Fp32","dims":["-1",4]}],' +
        '"version_policy":{"specific":{"versions":["3"]}},"parameters":{"k":{"string_value":"v"}},' +
        '"dynamic_batching":{"priority_queue_policy":{"1":{"timeoutAction":"delay"}}}}',
    );
    assert.equal(message["max_batch_size"], 8);
    const [input] = message["input"] as { dims: number[]; data_type: string }[];
    assert.deepEqual([input?.dims, input?.data_type], [[-1, 4], "TYPE_FP32"]);
    assert.deepEqual(message["version_policy"], { specific: { versions: [3] } });
    assert.deepEqual(message["parameters"], { k: { string_value: "v" } });
    const batching = message["dynamic_batching"] as {
      priority_queue_policy: Record<string, { timeout_action: string }>;
    };
    assert.equal(batching.priority_queue_policy["1"]?.timeout_action, "DELAY");
  });

  const failures: readonly (readonly [string, RegExp])[] = [
    ["", /Unexpected end of JSON input/],
    ["[]", /expected object/],
    ["null", /expected object/],
    ['{"nosuch":1}', /ModelConfig: unknown field: "nosuch"/],
    ['{"max_batch_size":"many"}', /ModelConfig\.max_batch_size: invalid integer: "many"/],
    ['{"input":[{"data_type":"TYPE_FLOAT"}]}', /unknown enum value: "TYPE_FLOAT"/],
    ['{"input":{"name":"x"}}', /expected array/],
    ['{"dynamic_batching":{},"sequence_batching":{}}', /multiple values for oneof/],
    [`{"input":${"[".repeat(100_000)}`, /Invalid config override/],
  ];
  for (const [json, detail] of failures) {
    it(`refuses ${json.slice(0, 60)}`, () => {
      assert.throws(
        () => parse(json),
        (error: Error & { code: string }) => {
          assert.equal(error.code, "INVALID_ARGUMENT");
          assert.match(error.message, /^Invalid config override: /);
          assert.match(error.message, detail);
          return true;
        },
      );
    });
  }

  it("keeps __proto__ as a key", () => {
    const parameters = parse('{"parameters":{"__proto__":{"string_value":"v"}}}')["parameters"] as object;
    assert.deepEqual(Object.keys(parameters), ["__proto__"]);
    assert.throws(() => parse('{"__proto__":{"name":"x"}}'), { message: /unknown field/ });
  });
});
