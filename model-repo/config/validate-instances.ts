/** Checks of normalised instance groups, in Triton's words (`ValidateInstanceGroup`); this server has no GPUs. */
import type { ModelConfig, ModelInstanceGroup } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** More instances than any machine has cores are a slip of the pen, and each would be a thread. */
const MAX_INSTANCES = 1_024;

const GPU_HINT = "use kind: KIND_CPU, or serve the model with a GPU on its own KServe v2 server";

/** Problems of `instance_group`. */
export function checkInstanceGroups(config: ModelConfig): Problem[] {
  const problems = config.instance_group.flatMap((group, i) =>
    checkGroup(group, `instance_group[${i}]`, `instance group ${group.name} of model ${config.name}`),
  );
  const count = config.instance_group.reduce((sum, group) => sum + group.count, 0);
  if (count > MAX_INSTANCES) {
    const text = `model ${config.name} asks for ${count} instances; at most ${MAX_INSTANCES} are possible`;
    problems.push(problem("instance_group", text));
  }
  return problems;
}

function checkGroup(group: ModelInstanceGroup, path: string, subject: string): Problem[] {
  const problems: Problem[] = [];
  switch (group.kind) {
    case "KIND_GPU": {
      const [gpu] = group.gpus;
      const text =
        gpu === undefined
          ? "has kind KIND_GPU but no GPUs are available"
          : `specifies invalid or unsupported gpu id ${gpu}. GPUs with at least the minimum required CUDA compute ` +
            "compatibility of 6.000000 are: ";
      const field = gpu === undefined ? "kind" : "gpus[0]";
      problems.push(problem(`${path}.${field}`, `${subject} ${text}`, GPU_HINT));
      break;
    }
    case "KIND_CPU":
    case "KIND_MODEL":
    case "KIND_AUTO":
      if (group.gpus.length === 0) break;
      problems.push(
        problem(`${path}.gpus`, `${subject} has kind ${group.kind} but specifies one or more GPUs`, GPU_HINT),
      );
  }
  if (group.profile.length > 0) {
    const text = `${subject} specifies profile field which is only supported for TensorRT models`;
    problems.push(problem(`${path}.profile`, text));
  }
  return problems;
}
