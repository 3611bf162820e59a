/** What a valid configuration may ask for and this server does not do, or does not do yet. Pure. */
import type { ModelConfig } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** Backends that run here. */
export const SERVED_BACKENDS = ["onnxruntime", "cascade", "identity", "kserve"] as const;
export type ServedBackend = (typeof SERVED_BACKENDS)[number];

/** Backends that are part of the product and come later. */
const PLANNED_BACKENDS: ReadonlySet<string> = new Set(["repeat", "square", "sequence", "dyna_sequence"]);

const TAKE_OUT = "take the model out of this repository until then";

/** Why a model's backend cannot run here; undefined where it can. */
export function unservedBackend(config: ModelConfig): Problem | undefined {
  const { name, platform, backend } = config;
  if (platform === "ensemble") {
    return problem("platform", `model '${name}' is an ensemble, which is not served yet`, TAKE_OUT, "UNIMPLEMENTED");
  }
  if (SERVED_BACKENDS.some((served) => served === backend)) return undefined;
  if (PLANNED_BACKENDS.has(backend)) {
    const text = `model '${name}' has backend '${backend}', which is not served yet`;
    return problem("backend", text, TAKE_OUT, "UNIMPLEMENTED");
  }
  const text =
    `unable to find backend library for backend '${backend}', try specifying runtime on the model configuration. ` +
    `Backends that run here: ${SERVED_BACKENDS.join(", ")}. Leave the model on its own KServe v2 server (Triton, vLLM, ` +
    "...); backend 'kserve' reaches it there";
  return problem("backend", text, TAKE_OUT, "UNAVAILABLE");
}

/** Everything of a configuration that would change results or answers and is not done: such a model is refused. */
export function unservedFeatures(config: ModelConfig): Problem[] {
  const { name } = config;
  const problems: Problem[] = [];
  const backend = unservedBackend(config);
  if (backend !== undefined) problems.push(backend);
  if (config.sequence_batching !== undefined) {
    problems.push(notServed("sequence_batching", `model '${name}' has sequence_batching, which is not served yet`));
  }
  if (config.model_transaction_policy?.decoupled === true) {
    const text = `model '${name}' has a decoupled transaction policy, which is not served yet`;
    problems.push(notServed("model_transaction_policy.decoupled", text));
  }
  for (const [field, tensors] of [
    ["batch_input", config.batch_input],
    ["batch_output", config.batch_output],
  ] as const) {
    if (tensors.length > 0) problems.push(notServed(field, `model '${name}' has ${field}, which is not served yet`));
  }
  config.input.forEach((input, i) => {
    if (!input.allow_ragged_batch) return;
    const text = `model '${name}', input '${input.name}' has allow_ragged_batch, which is not served yet`;
    problems.push(notServed(`input[${i}].allow_ragged_batch`, text));
  });
  const [agent] = config.model_repository_agents?.agents ?? [];
  if (agent !== undefined) {
    const text = `unable to find 'libtritonrepoagent_${agent.name}.so' for repo agent '${agent.name}', which is not served`;
    problems.push(notServed("model_repository_agents", text));
  }
  if ((config.model_operations?.op_library_filename.length ?? 0) > 0) {
    const text = `model '${name}' loads custom operators with model_operations, which is not served: it runs foreign code`;
    problems.push(notServed("model_operations", text));
  }
  return problems;
}

function notServed(path: string, text: string): Problem {
  return problem(path, text, `remove ${path}, or the model from the repository`, "UNIMPLEMENTED");
}

/** Settings that are read and shown and change nothing: one sentence each. */
export function ineffectiveSettings(config: ModelConfig): string[] {
  const dynamic = config.dynamic_batching;
  const policies = [dynamic?.default_queue_policy, ...Object.values(dynamic?.priority_queue_policy ?? {})];
  const found: readonly (readonly [boolean, string])[] = [
    [config.model_warmup.length > 0, "model_warmup is not run yet"],
    [config.response_cache?.enable === true, "response_cache has no effect yet"],
    [(dynamic?.priority_levels ?? 0) > 0, "priority_levels have no effect yet"],
    [policies.some((policy) => policy?.timeout_action === "DELAY"), "timeout_action DELAY is treated as REJECT"],
    [config.instance_group.some((group) => group.rate_limiter !== undefined), "rate_limiter has no effect"],
    [config.instance_group.some((group) => group.passive), "passive instance groups run like others"],
    [config.optimization?.execution_accelerators !== undefined, "execution_accelerators have no effect on a CPU"],
    [config.model_metrics !== undefined, "model_metrics has no effect yet"],
  ];
  return found.filter(([isGiven]) => isGiven).map(([, text]) => text);
}
