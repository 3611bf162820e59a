/** The `identity` backend: checks the configuration's tensors pairwise and makes the instances. */
import { InferenceError } from "../../proto/errors.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { Backend, LoadContext } from "./backend.ts";
import { batchedModel } from "./batched-model.ts";
import { IdentityInstance, outputOf } from "./identity-instance.ts";

export const identityBackend: Backend = { load: loadIdentity };

async function loadIdentity(context: LoadContext): Promise<Model> {
  const { config } = context.resolved;
  checkPairs(config);
  const delayMs = executeDelayMs(config);
  const instances = config.instance_group.flatMap((group) =>
    Array.from(
      { length: Math.max(1, group.count) },
      (_, index) => new IdentityInstance(`${group.name}_${index}`, delayMs, context.clock),
    ),
  );
  return batchedModel(context, instances);
}

/** Every input INPUTn has its OUTPUTn of the same datatype, and there is no other output. */
function checkPairs(config: ModelConfig): void {
  const outputs = new Map(config.output.map((output) => [output.name, output]));
  for (const input of config.input) {
    const output = /^INPUT\d+$/.test(input.name) ? outputs.get(outputOf(input.name)) : undefined;
    if (output?.data_type !== input.data_type) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `model '${config.name}': the identity backend expects inputs INPUTn with an output OUTPUTn of the same ` +
          `data_type each; '${input.name}' (${input.data_type}) has none`,
      );
    }
    outputs.delete(output.name);
  }
  const [extra] = outputs.keys();
  if (extra === undefined && config.input.length > 0) return;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${config.name}': the identity backend expects an input INPUTn for every output OUTPUTn` +
      (extra === undefined ? ", at least one" : `; '${extra}' has none`),
  );
}

function executeDelayMs(config: ModelConfig): number {
  const text = config.parameters["execute_delay_ms"]?.string_value ?? "0";
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${config.name}': parameter 'execute_delay_ms' is '${text}', expected a number of milliseconds`,
  );
}
