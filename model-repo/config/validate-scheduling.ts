/** Checks of dynamic batching and sequence batching, in Triton's order and words (`ValidateModelConfig`). */
import type { ModelConfig, ModelQueuePolicy, ModelSequenceBatching, SequenceControl } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** Problems of `dynamic_batching`. */
export function checkDynamicBatching(config: ModelConfig): Problem[] {
  const batching = config.dynamic_batching;
  if (batching === undefined) return [];
  const { name } = config;
  const problems: Problem[] = [];
  const field = "dynamic_batching";
  batching.preferred_batch_size.forEach((size, i) => {
    const path = `${field}.preferred_batch_size[${i}]`;
    if (size <= 0) problems.push(problem(path, `dynamic batching preferred size must be positive for ${name}`));
    else if (size > config.max_batch_size) {
      problems.push(
        problem(
          path,
          `dynamic batching preferred size must be <= max batch size for ${name}`,
          `max_batch_size is ${config.max_batch_size}: raise it or remove ${size} from preferred_batch_size`,
        ),
      );
    }
  });
  const levels = batching.priority_levels;
  const policies = Object.entries(batching.priority_queue_policy);
  if (levels !== 0) {
    if (batching.default_priority_level === 0 || batching.default_priority_level > levels) {
      const path = `${field}.${batching.default_priority_level === 0 ? "priority_levels" : "default_priority_level"}`;
      problems.push(problem(path, `default priority level must be in range [1, ${levels}] for ${name}`));
    }
    for (const [level] of policies) {
      if (Number(level) >= 1 && Number(level) <= levels) continue;
      problems.push(
        problem(
          `${field}.priority_queue_policy["${level}"]`,
          `priority queue policy must have priority level in range [1, ${levels}] for ${name}`,
        ),
      );
    }
  }
  if (!batching.preserve_ordering) return problems;
  if (levels > 1) {
    problems.push(
      problem(
        `${field}.preserve_ordering`,
        `Only one priority level is allowed when 'preserve_ordering' is true for ${name}`,
      ),
    );
  }
  for (const [path, policy] of [
    [`${field}.default_queue_policy.timeout_action`, batching.default_queue_policy] as const,
    ...policies.map(
      ([level, policy]) => [`${field}.priority_queue_policy["${level}"].timeout_action`, policy] as const,
    ),
  ]) {
    if (policy === undefined || !delays(policy)) continue;
    problems.push(
      problem(
        path,
        `Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for ${name}`,
        "use timeout_action: REJECT or preserve_ordering: false",
      ),
    );
  }
  return problems;
}

/** A DELAY without a timeout never happens. */
function delays(policy: ModelQueuePolicy): boolean {
  return policy.timeout_action === "DELAY" && policy.default_timeout_microseconds !== 0;
}

const BOOLEAN_CONTROLS = ["CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_READY"] as const;
const CORRELATION_ID_TYPES = ["TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING"];

/** Problems of `sequence_batching`. */
export function checkSequenceBatching(config: ModelConfig): Problem[] {
  const batching = config.sequence_batching;
  if (batching === undefined) return [];
  const { name } = config;
  const problems: Problem[] = [];
  const field = "sequence_batching";
  if (config.response_cache?.enable === true) {
    problems.push(
      problem(
        "response_cache",
        `Response Cache does not currently support model ${name} with sequence batching scheduler. ` +
          "Please disable the response cache.",
      ),
    );
  }
  problems.push(...checkControlNames(batching, name));
  for (const kind of BOOLEAN_CONTROLS) problems.push(...checkControl(batching, name, kind, checkBooleanControl));
  problems.push(...checkControl(batching, name, "CONTROL_SEQUENCE_CORRID", checkCorrelationId));
  batching.oldest?.preferred_batch_size.forEach((size, i) => {
    const path = `${field}.oldest.preferred_batch_size[${i}]`;
    if (size <= 0) problems.push(problem(path, `sequence batching preferred batch size must be positive for ${name}`));
    else if (size > config.max_batch_size) {
      problems.push(problem(path, `sequence batching preferred batch size must be <= max batch size for ${name}`));
    }
  });
  const utilization = batching.direct?.minimum_slot_utilization ?? 0;
  if (utilization < 0 || utilization > 1) {
    problems.push(
      problem(
        `${field}.direct.minimum_slot_utilization`,
        `sequence batching minimum slot utilization must be in range (0.0, 1.0] for ${name}`,
      ),
    );
  }
  return problems;
}

function checkControlNames(batching: ModelSequenceBatching, model: string): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  batching.control_input.forEach(({ name }, i) => {
    const path = `sequence_batching.control_input[${i}]`;
    if (name === "") problems.push(problem(path, `sequence batching control tensor must have a name for ${model}`));
    else if (seen.has(name)) {
      const text = `sequence batching control tensor '${name}' is specified for multiple control kinds for ${model}`;
      problems.push(problem(`${path}.name`, text));
    }
    seen.add(name);
  });
  return problems;
}

type CheckControl = (control: SequenceControl, model: string) => string | undefined;

function checkControl(
  batching: ModelSequenceBatching,
  model: string,
  kind: SequenceControl["kind"],
  check: CheckControl,
): Problem[] {
  const problems: Problem[] = [];
  let isSeen = false;
  batching.control_input.forEach((input, i) => {
    input.control.forEach((control, j) => {
      if (control.kind !== kind) return;
      const path = `sequence_batching.control_input[${i}].control[${j}]`;
      const text = isSeen ? `sequence batching specifies multiple ${kind} tensors for ${model}` : check(control, model);
      if (text !== undefined) problems.push(problem(path, text));
      isSeen = true;
    });
  });
  return problems;
}

function checkBooleanControl(control: SequenceControl, model: string): string | undefined {
  const given = (["int32_false_true", "fp32_false_true", "bool_false_true"] as const).filter(
    (field) => control[field].length > 0,
  );
  const [field] = given;
  if (field === undefined) {
    return (
      "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for " +
      `${control.kind} for ${model}`
    );
  }
  if (given.length > 1) {
    return (
      "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' " +
      `for ${control.kind} for ${model}`
    );
  }
  if (control[field].length === 2) return undefined;
  return `sequence batching control '${field}' must have exactly 2 entries for ${control.kind} for ${model}`;
}

function checkCorrelationId(control: SequenceControl, model: string): string | undefined {
  if (control.int32_false_true.length + control.fp32_false_true.length + control.bool_false_true.length > 0) {
    return (
      "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for " +
      `${control.kind} for ${model}`
    );
  }
  if (CORRELATION_ID_TYPES.includes(control.data_type)) return undefined;
  return (
    `unexpected data type for control ${control.kind} for ${model}. Allowed data types are TYPE_UINT64, TYPE_INT64, ` +
    "TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
  );
}
