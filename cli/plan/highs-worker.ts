/** Worker thread that solves one problem at a time with HiGHS, which blocks its thread while it works. */
import { parentPort } from "node:worker_threads";
import highsLoader, { type Highs, type HighsCallbackMap, type Model } from "highs";
import type { MilpOptions, MilpProblem, MilpSolution } from "../../planner/placement/milp.ts";
import type { SolveMessage, SolverReply } from "./highs-protocol.ts";

/** An uncaught error of the package prints 168 KB of its source; this is what a reader needs of it. */
const LONGEST_MESSAGE = 300;
const PROGRESS_PERIOD_MS = 200;

// The types describe the package's CommonJS file, where the loader is a property; an import gets the loader itself.
const loadHighs = highsLoader as unknown as (typeof highsLoader)["default"];

const port = parentPort;
if (port !== null) {
  const loading = loadHighs();
  port.on("message", async ({ problem, options }: SolveMessage) => {
    const reply = (message: SolverReply) => port.postMessage(message);
    try {
      const highs = await loading;
      const solution = highs.withModel(modelData(highs, problem), (model) =>
        run(highs, model, problem, options, reply),
      );
      reply({ type: "solved", solution });
    } catch (reason) {
      const message = reason instanceof Error ? reason.message : String(reason);
      reply({ type: "failed", message: message.slice(0, LONGEST_MESSAGE) });
    }
  });
}

function modelData(highs: Highs, problem: MilpProblem) {
  const { objectiveSense, variableType } = highs.constants;
  const finite = (values: readonly number[]) =>
    Float64Array.from(values, (value) => Math.max(-highs.infinity, Math.min(highs.infinity, value)));
  const numCols = problem.cost.length;
  const numRows = problem.rowLower.length;
  return {
    numCols,
    numRows,
    sense: problem.sense === "maximise" ? objectiveSense.maximize : objectiveSense.minimize,
    colCost: Float64Array.from(problem.cost),
    colLower: finite(problem.lower),
    colUpper: finite(problem.upper),
    rowLower: finite(problem.rowLower),
    rowUpper: finite(problem.rowUpper),
    matrix: {
      format: "csr",
      numRows,
      numCols,
      starts: Int32Array.from(problem.rowStarts),
      indices: Int32Array.from(problem.columns),
      values: Float64Array.from(problem.values),
    },
    integrality: Array.from(problem.isInteger, (is) => (is ? variableType.integer : variableType.continuous)),
  } as const;
}

function run(
  highs: Highs,
  model: Model,
  problem: MilpProblem,
  options: MilpOptions,
  reply: (message: SolverReply) => void,
): MilpSolution {
  const startedMs = performance.now();
  model.options.set({
    output_flag: false,
    mip_rel_gap: options.relativeGap,
    mip_max_nodes: options.nodeLimit,
    time_limit: options.timeLimitMs / 1000,
  });
  if (options.start !== null) model.setSolution({ colValue: Float64Array.from(options.start) });
  const { callbackType, modelStatus } = highs.constants;
  let reportedMs = startedMs;
  const callbacks: HighsCallbackMap = {
    // The logging callback stays silent without output; this one is asked several times a second, and never interrupts.
    [callbackType.mipInterrupt]: ({ data }) => {
      if (performance.now() - reportedMs < PROGRESS_PERIOD_MS) return;
      reportedMs = performance.now();
      reply({
        type: "progress",
        elapsedMs: performance.now() - startedMs,
        nodes: Number(data.mip_node_count ?? 0),
        value: finiteOrNull(data.mip_primal_bound, highs.infinity),
        bound: finiteOrNull(data.mip_dual_bound, highs.infinity),
      });
    },
  };
  model.run(callbacks);
  const status = model.getModelStatus();
  const isInfeasible = status === modelStatus.infeasible || status === modelStatus.unboundedOrInfeasible;
  const objective = isInfeasible ? Number.NaN : model.getObjectiveValue();
  const isInteger = problem.isInteger.includes(true);
  const hasPoint = !isInfeasible && Number.isFinite(objective) && model.info.get("primal_solution_status") === 2;
  return {
    values: hasPoint ? Array.from(model.getSolution().colValue) : null,
    objective: hasPoint ? objective : Number.NaN,
    bound: isInteger && !isInfeasible ? Number(model.info.get("mip_dual_bound")) : objective,
    isInfeasible,
    isTimeLimited: status === modelStatus.timeLimit,
    solverMs: performance.now() - startedMs,
  };
}

function finiteOrNull(value: number | undefined, infinity: number): number | null {
  return value === undefined || Math.abs(value) >= infinity ? null : value;
}
