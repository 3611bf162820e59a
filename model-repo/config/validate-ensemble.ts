/** The checks of an ensemble that need no other model, in Triton's words. */
import type { EnsembleStep, ModelConfig } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

const REQUIRED = [
  ["model_name", (step: EnsembleStep) => step.model_name !== ""],
  ["input_map", (step: EnsembleStep) => Object.keys(step.input_map).length > 0],
  ["output_map", (step: EnsembleStep) => Object.keys(step.output_map).length > 0],
] as const;

/** Problems of `ensemble_scheduling` and of its place in the configuration. */
export function checkEnsemble(config: ModelConfig): Problem[] {
  const { name } = config;
  const isEnsemble = config.platform === "ensemble";
  const scheduling = config.ensemble_scheduling;
  if (scheduling === undefined) {
    if (!isEnsemble) return [];
    const text = `ensemble scheduling must be set for ensemble ${name} whose platform is ensemble`;
    return [problem("platform", text)];
  }
  if (!isEnsemble) {
    const text = `ensemble scheduling cannot be set for model '${name}' whose platform is not ensemble`;
    return [problem("ensemble_scheduling", text)];
  }
  const problems: Problem[] = [];
  if (config.instance_group.length > 0) {
    problems.push(problem("instance_group", `instance group should not be specified for ensemble '${name}'`));
  }
  if (config.optimization !== undefined) {
    problems.push(problem("optimization", `optimization should not be specified for ensemble '${name}'`));
  }
  if (config.model_warmup.length > 0) {
    problems.push(problem("model_warmup", `model_warmup can not be specified for ensemble '${name}'`));
  }
  if (scheduling.step.length === 0) {
    problems.push(problem("ensemble_scheduling", `must specify 'step' for ensemble '${name}'`));
  }
  scheduling.step.forEach((step, i) => {
    const missing = REQUIRED.find(([, isGiven]) => !isGiven(step));
    if (missing === undefined) return;
    const text = `must specify '${missing[0]}' in step ${i} of ensemble '${name}'`;
    problems.push(problem(`ensemble_scheduling.step[${i}]`, text));
  });
  return problems;
}
