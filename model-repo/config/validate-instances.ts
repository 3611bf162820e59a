/** Checks of normalised instance groups, in Triton's words (`ValidateInstanceGroup`). */
import { type CudaOffer, cudaOffer } from "../onnx-providers.ts";
import type { ModelConfig, ModelInstanceGroup } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** More instances than any machine has cores are a slip of the pen, and each would be a thread. */
const MAX_INSTANCES = 1_024;

/** Problems of `instance_group`; `offer` tells the GPUs that can be used. */
export function checkInstanceGroups(config: ModelConfig, offer: CudaOffer = cudaOffer()): Problem[] {
  const problems = config.instance_group.flatMap((group, i) =>
    checkGroup(group, offer, `instance_group[${i}]`, `instance group ${group.name} of model ${config.name}`),
  );
  const count = config.instance_group.reduce((sum, group) => sum + group.count, 0);
  if (count > MAX_INSTANCES) {
    const text = `model ${config.name} asks for ${count} instances; at most ${MAX_INSTANCES} are possible`;
    problems.push(problem("instance_group", text));
  }
  return problems;
}

function checkGroup(group: ModelInstanceGroup, { gpus, hint }: CudaOffer, path: string, subject: string): Problem[] {
  const problems: Problem[] = [];
  switch (group.kind) {
    case "KIND_GPU": {
      const unknown = group.gpus.findIndex((gpu) => !gpus.includes(gpu));
      if (unknown >= 0) {
        const text =
          `${subject} specifies invalid or unsupported gpu id ${group.gpus[unknown]}. GPUs with at least the minimum ` +
          `required CUDA compute compatibility of 6.000000 are: ${gpus.join(" ")}`;
        problems.push(problem(`${path}.gpus[${unknown}]`, text, hint));
      } else if (gpus.length === 0) {
        problems.push(problem(`${path}.kind`, `${subject} has kind KIND_GPU but no GPUs are available`, hint));
      }
      break;
    }
    case "KIND_CPU":
    case "KIND_MODEL":
    case "KIND_AUTO":
      if (group.gpus.length === 0) break;
      problems.push(problem(`${path}.gpus`, `${subject} has kind ${group.kind} but specifies one or more GPUs`, hint));
  }
  if (group.profile.length > 0) {
    const text = `${subject} specifies profile field which is only supported for TensorRT models`;
    problems.push(problem(`${path}.profile`, text));
  }
  return problems;
}
