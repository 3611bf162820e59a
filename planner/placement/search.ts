/** Finds the best placement of a model: exact where that is cheap, by MILP where it pays, never worse than by rule. */
import { aggregatedProblem } from "./aggregated.ts";
import { boundOf, type RankedChoice, type RankedChoices, rankChoices } from "./bounds.ts";
import { BestCandidate, type Candidate } from "./candidate.ts";
import { CELL_DEVICES, placeInCells } from "./cells.ts";
import { improve, placeByRule } from "./heuristic.ts";
import { onlyClass, placeHomogeneous } from "./homogeneous.ts";
import { unitsOf } from "./layout.ts";
import type { MilpOptions, MilpSolver } from "./milp.ts";
import type { PlacementModel } from "./model.ts";
import { DEVICE_TIE, deviceProblem } from "./per-device.ts";
import type { PlacementProblem } from "./problem.ts";

export interface SearchResult {
  readonly best: Candidate | null;
  /** Highest rate that any candidate served; for the objective `energy` at most the asked rate. */
  readonly mostRate: number;
  /** Requests a second or watts that no placement beats. */
  readonly bound: number;
  readonly solverMs: number;
  readonly isTimeLimited: boolean;
}

/** Most devices, and binaries, of a MILP with one binary a stage and device. */
const MILP_DEVICES = 512;
const MILP_BINARIES = 16_384;
/** Choices of options that are tried by rule, and that a MILP is solved for. */
const TRIED_CHOICES = 24;
const MILP_CHOICES = 3;
const COUNTED_CHOICES = 8;
/** So few stages times devices are solved for every choice that may be best. */
const TINY = 64;
const SOLVER_TIME_LIMIT_MS = 20_000;

const QUICK = { starts: 1, passes: 0, operations: 1e8 };
const THOROUGH = { starts: 3, passes: 2, operations: 1.5e9 };

/** Without a solver only the exact and the rule-based ways are tried. */
export async function searchPlacement(
  problem: PlacementProblem,
  model: PlacementModel,
  solver: MilpSolver | null,
): Promise<SearchResult> {
  const search = new PlacementSearch(problem, model, solver);
  return search.run();
}

class PlacementSearch {
  readonly #problem: PlacementProblem;
  readonly #model: PlacementModel;
  readonly #solver: MilpSolver | null;
  readonly #kept: BestCandidate;
  readonly #deviceCount: number;
  #solverMs = 0;
  #isTimeLimited = false;

  constructor(problem: PlacementProblem, model: PlacementModel, solver: MilpSolver | null) {
    this.#problem = problem;
    this.#model = model;
    this.#solver = solver;
    this.#kept = new BestCandidate(problem, model);
    this.#deviceCount = model.classes.reduce((sum, each) => sum + each.devices.length, 0);
  }

  async run(): Promise<SearchResult> {
    const ranked = rankChoices(this.#model, TRIED_CHOICES);
    const { choices } = ranked;
    if (choices.length === 0) return this.#result(0);
    const bound = boundOf(this.#model, ranked);
    const isCell = this.#deviceCount <= CELL_DEVICES;
    this.#kept.offer(placeHomogeneous(this.#model, bound), "exact-homogeneous");
    const quick = isCell ? this.#placeQuickly(choices) : [];
    if (this.#isDone(bound)) return this.#result(bound);
    await this.#placeByClass(choices, bound);
    if (this.#isDone(bound)) return this.#result(bound);
    if (isCell) this.#placeThoroughly(quick, bound);
    else await this.#placeCells(bound);
    return this.#result(await this.#placePerDevice(ranked));
  }

  #result(bound: number): SearchResult {
    const { best, mostRate } = this.#kept;
    return { best, mostRate, bound, solverMs: this.#solverMs, isTimeLimited: this.#isTimeLimited };
  }

  #isDone(bound: number): boolean {
    return this.#kept.gapTo(bound) <= Math.max(this.#model.relativeGap, 1e-9);
  }

  /** Whether a choice with this bound can still be the best. */
  #isPromising({ bound }: RankedChoice): boolean {
    return this.#kept.best === null || this.#kept.gapTo(bound) > Math.max(this.#model.relativeGap, 1e-9);
  }

  /** Devices counted by class: for the most promising choices one by one, which is quick, then for their options mixed. */
  async #placeByClass(choices: readonly RankedChoice[], bound: number): Promise<void> {
    if (onlyClass(this.#model) !== null || this.#solver === null) return;
    for (const choice of choices.slice(0, COUNTED_CHOICES)) {
      if (!this.#isPromising(choice)) break;
      await this.#solveByClass([choice], bound);
    }
    if (!this.#isDone(bound)) await this.#solveByClass(choices, bound);
  }

  /** The solver takes each level's option from any of the choices. */
  async #solveByClass(choices: readonly RankedChoice[], bound: number): Promise<void> {
    const allowed = this.#model.levels.map((_, k) => [...new Set(choices.map(({ options }) => options[k] ?? 0))]);
    const levels = this.#model.levels.map((level, k) => ({
      ...level,
      options: (allowed[k] ?? []).flatMap((p) => level.options[p] ?? []),
    }));
    // The scale of rates: for energy the rate itself.
    const scale = this.#model.objective === "energy" ? this.#model.rate : bound;
    const { problem, read } = aggregatedProblem({ ...this.#model, levels }, scale);
    const solution = await this.#solve(problem, { nodeLimit: choices.length === 1 ? 500 : 5000, start: null });
    if (!solution?.values) return;
    const layout = read(solution.values);
    const choice = layout.choice.map((p, k) => allowed[k]?.[p] ?? 0);
    this.#kept.offer({ ...layout, choice }, "milp-aggregated");
  }

  /** All choices by rule; the ones that look best come first. */
  #placeQuickly(choices: readonly RankedChoice[]): RankedChoice[] {
    const tried = choices.flatMap((choice) => {
      if (!this.#isPromising(choice)) return [];
      const placed = placeByRule(this.#model, choice.options, { ...QUICK, bound: choice.bound });
      this.#kept.offer(placed?.layout ?? null, "greedy");
      return [{ choice, worth: placed === null ? 0 : this.#worth(placed.balance) }];
    });
    // Sorting is stable: of equals the better bound stays in front.
    return tried.sort((a, b) => b.worth - a.worth).map(({ choice }) => choice);
  }

  /** The best choices by ruin and refill, then what stands if it came from elsewhere. */
  #placeThoroughly(choices: readonly RankedChoice[], bound: number): void {
    const model = this.#model;
    for (const choice of choices.slice(0, MILP_CHOICES)) {
      if (!this.#isPromising(choice)) continue;
      const placed = placeByRule(model, choice.options, { ...THOROUGH, bound: choice.bound });
      this.#kept.offer(placed?.layout ?? null, "greedy");
    }
    const { best } = this.#kept;
    if (best === null || best.algorithm === "greedy" || this.#isDone(bound)) return;
    this.#kept.offer(improve(model, best.layout, { ...THOROUGH, bound }).layout, "greedy");
  }

  #worth({ rate, watts }: { readonly rate: number; readonly watts: number }): number {
    if (this.#model.objective === "throughput") return rate;
    return rate >= this.#model.rate * (1 - 1e-7) ? 1 + 1 / watts : rate / this.#model.rate;
  }

  async #placeCells(bound: number): Promise<void> {
    const layouts = await placeInCells(this.#model, (cell) => this.#searchCell(cell));
    for (const layout of layouts) {
      this.#kept.offer(layout, "greedy");
      const { best } = this.#kept;
      if (best === null || this.#isDone(bound)) continue;
      const filled = improve(this.#model, best.layout, { starts: 1, passes: 1, operations: 1e9, bound });
      this.#kept.offer(filled.layout, "greedy");
    }
  }

  async #searchCell(cell: PlacementModel): Promise<Candidate | null> {
    const found = await searchPlacement(this.#problem, cell, this.#solver);
    this.#solverMs += found.solverMs;
    this.#isTimeLimited ||= found.isTimeLimited;
    return found.best;
  }

  /** Best bound that is left after solving the most promising choices one by one. */
  async #placePerDevice({ choices, rest }: RankedChoices): Promise<number> {
    const isThroughput = this.#model.objective === "throughput";
    const pick = (...bounds: readonly number[]): number => (isThroughput ? Math.max(...bounds) : Math.min(...bounds));
    let solved = rest;
    for (const [i, choice] of choices.entries()) {
      const binaries = unitsOf(this.#model, choice.options).length * this.#deviceCount;
      const isSmall = this.#deviceCount <= MILP_DEVICES && binaries <= MILP_BINARIES;
      const isTried = this.#solver !== null && isSmall && (binaries <= TINY || i < MILP_CHOICES);
      // Choices come best bound first: what is not solved is bounded by this one.
      if (!isTried || !this.#isPromising(choice)) return pick(solved, choice.bound);
      solved = pick(solved, await this.#solvePerDevice(choice, binaries));
    }
    return solved;
  }

  async #solvePerDevice(choice: RankedChoice, binaries: number): Promise<number> {
    const model = this.#model;
    const { best } = this.#kept;
    const own = best?.layout.choice.every((p, k) => p === choice.options[k]) ? best : null;
    const warm = own ?? placeByRule(model, choice.options, { ...QUICK, bound: choice.bound });
    const scale = model.objective === "energy" ? model.rate : choice.bound;
    const groups = failureGroups(this.#problem);
    const device = deviceProblem(model, choice.options, unitsOf(model, choice.options), groups, scale);
    const start = warm === null ? null : device.start(warm.layout, warm.balance);
    const solution = await this.#solve(device.problem, { nodeLimit: binaries <= 1000 ? 20_000 : 500, start });
    if (solution?.values) {
      const { layout, pinned } = device.read(solution.values);
      this.#kept.offer(layout, "milp-device", pinned);
    }
    if (solution === null || !Number.isFinite(solution.bound))
      return solution?.isInfeasible ? noBound(model) : choice.bound;
    if (model.objective === "throughput") return Math.min(solution.bound * scale, choice.bound);
    const watts = (solution.bound - DEVICE_TIE * this.#deviceCount) / (1 + DEVICE_TIE);
    return Math.max(watts + model.unusedWatts, choice.bound);
  }

  async #solve(
    problem: Parameters<MilpSolver["solve"]>[0],
    options: Pick<MilpOptions, "nodeLimit" | "start">,
  ): Promise<Awaited<ReturnType<MilpSolver["solve"]>> | null> {
    if (this.#solver === null) return null;
    const { relativeGap } = this.#model;
    const solution = await this.#solver.solve(problem, { relativeGap, timeLimitMs: SOLVER_TIME_LIMIT_MS, ...options });
    this.#solverMs += solution.solverMs;
    this.#isTimeLimited ||= solution.isTimeLimited;
    return solution;
  }
}

/** Of a choice that cannot be placed at all. */
function noBound(model: PlacementModel): number {
  return model.objective === "throughput" ? 0 : Number.POSITIVE_INFINITY;
}

function failureGroups(problem: PlacementProblem): number[] {
  const names = new Map<string, number>();
  return problem.devices.map(({ failureGroup }) => {
    const known = names.get(failureGroup) ?? names.size;
    names.set(failureGroup, known);
    return known;
  });
}
