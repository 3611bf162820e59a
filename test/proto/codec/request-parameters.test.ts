import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkRequestParameters } from "../../../proto/codec/request-parameters.ts";
import { type ErrorCode, InferenceError } from "../../../proto/errors.ts";
import type { Parameter } from "../../../proto/inference.ts";

const bool: Parameter = { kind: "bool", value: true };
const int64: Parameter = { kind: "int64", value: 1n };
const uint64: Parameter = { kind: "uint64", value: 1n };
const string: Parameter = { kind: "string", value: "s" };
const double: Parameter = { kind: "double", value: 1.5 };

const RESERVED =
  "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with " +
  "'triton_' are allowed: triton_enable_empty_final_response";

describe("request parameters", () => {
  const accepted: [key: string, parameter: Parameter][] = [
    ["sequence_id", int64],
    ["sequence_id", { kind: "string", value: "x".repeat(128) }],
    ["sequence_start", bool],
    ["sequence_end", bool],
    ["priority", int64],
    ["priority", { kind: "uint64", value: 2n ** 64n - 1n }],
    ["timeout", int64],
    ["triton_enable_empty_final_response", bool],
    ["binary_data", bool],
    ["headers", string],
    ["custom", bool],
    ["custom", int64],
    ["custom", string],
    ["custom", double],
    ["__proto__", string],
    ["constructor", double],
    ["", bool],
    ["Triton_x", bool],
  ];
  for (const [key, parameter] of accepted) {
    it(`take ${parameter.kind} '${key}'`, () => checkRequestParameters(new Map([[key, parameter]])));
  }

  const refused: [key: string, parameter: Parameter, message: string, code?: ErrorCode][] = [
    ["sequence_id", bool, "invalid value type for 'sequence_id' parameter, expected int64_param or string_param."],
    ["sequence_id", uint64, "invalid value type for 'sequence_id' parameter, expected int64_param or string_param."],
    [
      "sequence_id",
      { kind: "string", value: "x".repeat(129) },
      "string correlation ID cannot be longer than 128 characters",
      "UNIMPLEMENTED",
    ],
    [
      "sequence_id",
      { kind: "string", value: "ä".repeat(65) },
      "string correlation ID cannot be longer than 128 characters",
      "UNIMPLEMENTED",
    ],
    ["sequence_start", int64, "invalid value type for 'sequence_start' parameter, expected bool_param."],
    ["sequence_end", string, "invalid value type for 'sequence_end' parameter, expected bool_param."],
    ["priority", string, "invalid value type for 'priority' parameter, expected int64_param or uint64_param."],
    ["priority", { kind: "int64", value: -1n }, "invalid value for 'priority', expected value >= 0."],
    ["timeout", uint64, "invalid value type for 'timeout' parameter, expected int64_param."],
    ["timeout", double, "invalid value type for 'timeout' parameter, expected int64_param."],
    [
      "triton_enable_empty_final_response",
      int64,
      "invalid value type for 'triton_enable_empty_final_response' parameter, expected bool_param.",
    ],
    ["triton_final_response", bool, RESERVED],
    ["triton_", string, RESERVED],
    ["custom", uint64, "invalid value type for 'custom' parameter, expected int64_param, bool_param, or string_param."],
  ];
  for (const [key, parameter, message, code = "INVALID_ARGUMENT"] of refused) {
    it(`refuse ${parameter.kind} '${key}': ${message}`, () => {
      assert.throws(
        () =>
          checkRequestParameters(
            new Map([
              ["first", bool],
              [key, parameter],
            ]),
          ),
        (error) => error instanceof InferenceError && error.message === message && error.code === code,
      );
    });
  }
});
