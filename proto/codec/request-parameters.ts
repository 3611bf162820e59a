/** The rules of request parameters (`ModelInferRequest.parameters`): which keys are known, which types they take. */
import { InferenceError } from "../errors.ts";
import type { Parameter, Parameters } from "../inference.ts";
import { utf8Length } from "../wire/utf8.ts";
import { untypedParameter } from "./decode-fields.ts";

/** Triton's bound, in bytes. */
const MAX_SEQUENCE_ID_LENGTH = 128;

/** Throws Triton's error for the first parameter of a wrong type, out of range or of a reserved name. */
export function checkRequestParameters(parameters: Parameters): void {
  for (const [key, parameter] of parameters) checkParameter(key, parameter);
}

function checkParameter(key: string, parameter: Parameter): void {
  const { kind, value } = parameter;
  switch (key) {
    case "sequence_id":
      if (kind !== "int64" && kind !== "string") throw wrongType(key, "int64_param or string_param");
      if (kind === "string" && utf8Length(value) > MAX_SEQUENCE_ID_LENGTH) {
        const limit = MAX_SEQUENCE_ID_LENGTH;
        throw new InferenceError("UNIMPLEMENTED", `string correlation ID cannot be longer than ${limit} characters`);
      }
      return;
    case "sequence_start":
    case "sequence_end":
    case "triton_enable_empty_final_response":
      if (kind !== "bool") throw wrongType(key, "bool_param");
      return;
    case "priority":
      if (kind !== "int64" && kind !== "uint64") throw wrongType(key, "int64_param or uint64_param");
      if (value < 0n) throw invalid("invalid value for 'priority', expected value >= 0.");
      return;
    case "timeout":
      if (kind !== "int64") throw wrongType(key, "int64_param");
      return;
    default:
      if (key.startsWith("triton_")) {
        throw invalid(
          "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting " +
            "with 'triton_' are allowed: triton_enable_empty_final_response",
        );
      }
      if (kind === "uint64") throw invalid(untypedParameter(key));
  }
}

function wrongType(key: string, expected: string): InferenceError {
  return invalid(`invalid value type for '${key}' parameter, expected ${expected}.`);
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
