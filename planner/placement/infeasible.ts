/** Why nothing can be placed, and what would change that. */
import { bytes, figure, percent } from "./format.ts";
import type { PlacementModel } from "./model.ts";
import type { PlacedLevel, PlacementProblem } from "./problem.ts";
import type { SearchResult } from "./search.ts";

/** One text a reason; the first is what stands in the way most plainly. */
export function whyInfeasible(problem: PlacementProblem, model: PlacementModel, result: SearchResult): string[] {
  if (problem.devices.length === 0) return ["there are no devices; add some to the devices file"];
  const impossible = problem.levels.flatMap((level) => whyLevelImpossible(problem, level));
  if (impossible.length > 0) return impossible;
  const tooSlow = whyTooSlow(problem, model);
  if (tooSlow !== null) return [tooSlow];
  const reasons = [...whyMemory(problem, model), ...whyCopies(problem)];
  if (problem.objective === "energy" && result.mostRate > 0 && result.mostRate < problem.rate * (1 - 1e-7)) {
    const { rate, utilisationCap } = problem;
    const factor = Math.ceil((rate / result.mostRate) * 10) / 10;
    reasons.push(
      `the best placement found carries ${figure(result.mostRate)} requests/s at ${percent(utilisationCap)} busy devices, ` +
        `the rate is ${figure(rate)}; give about ${factor} times the devices, lower the rate or raise the utilisation cap`,
    );
  }
  if (reasons.length > 0) return reasons;
  return ["no placement was found: memory is too tight; add a device, or cut models into more stages"];
}

function whyLevelImpossible(problem: PlacementProblem, level: PlacedLevel): string[] {
  if (level.options.length === 0) return [`model '${level.model}' has no option to run it; profile it first`];
  const present = problem.classes.filter((each) => problem.devices.some((device) => device.class === each.name));
  const stages = level.options.map((option) =>
    option.stages.find(
      (stage) =>
        !present.some(
          ({ name, memoryBytes }) =>
            stage.service.has(name) &&
            (stage.memoryBytes.get(name) ?? Number.POSITIVE_INFINITY) <= memoryBytes * problem.memoryShare,
        ),
    ),
  );
  if (stages.includes(undefined)) return [];
  const profiled = stages.filter((stage) => present.some(({ name }) => stage?.service.has(name)));
  if (profiled.length === 0) {
    const names = present.map(({ name }) => `'${name}'`).join(", ");
    return [
      `model '${level.model}' has no profile on any class of the devices (${names}); run 'hybridserve profile' there`,
    ];
  }
  // The option whose largest stage is smallest comes nearest.
  const needs = profiled.map((stage) => ({
    id: stage?.id ?? "",
    bytes: Math.min(...present.map(({ name }) => stage?.memoryBytes.get(name) ?? Number.POSITIVE_INFINITY)),
  }));
  const least = needs.reduce((a, b) => (b.bytes < a.bytes ? b : a));
  const most = Math.max(...present.map((each) => each.memoryBytes * problem.memoryShare));
  return [
    `model '${level.model}': stage '${least.id}' takes ${bytes(least.bytes)}, the largest device offers ${bytes(most)} ` +
      `(${percent(problem.memoryShare)} of its memory); cut the model into more stages or add a device with more memory`,
  ];
}

/** The budget leaves no choice: the model keeps no option of some level, or their fastest are too slow together. */
function whyTooSlow(problem: PlacementProblem, model: PlacementModel): string | null {
  const { latencyMs, percentile } = problem.slo;
  const fastest = model.fastestMs.map((ms, k) => ({ ms, model: problem.levels[k]?.model ?? "" }));
  const counted = fastest.filter((_, k) => problem.levels[k]?.countsForLatency === true);
  const sum = counted.reduce((total, { ms }) => total + ms, 0);
  if (sum <= latencyMs * (1 + 1e-9)) return null;
  const parts = counted.map((each) => `${each.model} ${figure(each.ms)} ms`).join(" + ");
  return (
    `the fastest choice answers in about ${figure(sum)} ms (${parts}, waits included), ${percent(percentile)} of the requests ` +
    `must be answered in ${figure(latencyMs)} ms; raise the latency objective, use smaller batches or more stages, or faster devices`
  );
}

function whyMemory(problem: PlacementProblem, model: PlacementModel): string[] {
  const offered = model.classes.reduce((sum, each) => sum + each.devices.length * each.memoryBytes, 0);
  const needed = model.levels.reduce((sum, level) => {
    const sizes = level.options.map((option) =>
      option.stages.reduce(
        (total, stage) => total + Math.min(...stage.map((cost) => cost?.memoryBytes ?? Number.POSITIVE_INFINITY)),
        0,
      ),
    );
    return sum + Math.min(...sizes) * level.copies;
  }, 0);
  if (needed <= offered * (1 + 1e-12)) return [];
  const largest = Math.max(...model.classes.map((each) => (each.devices.length > 0 ? each.memoryBytes : 0)));
  const more = Math.ceil((needed - offered) / largest);
  return [
    `one copy of every stage${problem.levels.some((level) => level.copies > 1) ? " (and its spare copies)" : ""} takes ` +
      `${bytes(needed)}, the devices offer ${bytes(offered)}; add at least ${more} device${more === 1 ? "" : "s"}`,
  ];
}

function whyCopies(problem: PlacementProblem): string[] {
  const groups = new Set(problem.devices.map((device) => device.failureGroup)).size;
  return problem.levels
    .filter((level) => level.copies > groups)
    .map(
      ({ model, copies }) =>
        `model '${model}' asks for copies in ${copies} failure groups, the devices lie in ${groups}; ` +
        "add devices elsewhere or ask for fewer copies",
    );
}
