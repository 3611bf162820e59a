/** Several classes, each device for one stage: a MILP that counts devices by class, whatever their number. */
import { type Bin, joinBins, type Layout, unitsOf } from "./layout.ts";
import { MilpBuilder, type MilpProblem, type Term } from "./milp.ts";
import type { ModelLevel, PlacementModel } from "./model.ts";
import { DEVICE_TIE } from "./per-device.ts";

export interface AggregatedProblem {
  readonly problem: MilpProblem;
  /** The layout that a solution stands for. */
  read(values: readonly number[]): Layout;
}

/** Columns of an option: whether it is chosen, and devices by stage and class. */
interface OptionColumns {
  readonly chosen: number;
  readonly counts: readonly (readonly (number | null)[])[];
}

/**
 * y[k,p] chooses one option a level; x[k,p,s,c] devices of class c serve stage s; every stage of the chosen option carries
 * the rate: sum over c of x cap / load >= flow. Throughput maximises the rate, in units of `scale` (any rate that cannot be
 * reached); energy minimises kept watts plus joules of the flow by class at the model's rate.
 */
export function aggregatedProblem(model: PlacementModel, scale: number): AggregatedProblem {
  const builder = new MilpBuilder();
  const isEnergy = model.objective === "energy";
  const rateColumn = isEnergy ? -1 : builder.column(1, 1, "real");
  const perClass: Term[][] = model.classes.map(() => []);
  const latency: Term[] = [];
  const levels = model.levels.map((level) => {
    const options = level.options.map((option): OptionColumns => {
      const chosen = builder.column(0, 1, "integer");
      if (level.countsForLatency) latency.push([chosen, option.latencyMs]);
      const counts = option.stages.map((stage) =>
        stage.map((cost, c) => {
          if (cost === null) return null;
          const column = builder.column(isEnergy ? keptCost(model, c) : 0, countOf(model, c), "integer");
          perClass[c]?.push([column, 1]);
          return column;
        }),
      );
      return { chosen, counts };
    });
    builder.equal(
      options.map(({ chosen }): Term => [chosen, 1]),
      1,
    );
    addFlows(builder, model, level, options, { rateColumn, scale });
    return options;
  });
  for (const [c, terms] of perClass.entries()) if (terms.length > 0) builder.atMost(terms, countOf(model, c));
  if (Number.isFinite(model.latencyBudgetMs) && latency.length > 0) builder.atMost(latency, model.latencyBudgetMs);
  return {
    problem: builder.build(isEnergy ? "minimise" : "maximise"),
    read: (values) => readLayout(model, levels, values),
  };
}

function addFlows(
  builder: MilpBuilder,
  model: PlacementModel,
  level: ModelLevel,
  options: readonly OptionColumns[],
  { rateColumn, scale }: { readonly rateColumn: number; readonly scale: number },
): void {
  const isEnergy = rateColumn < 0;
  const flows: Term[] = [];
  for (const [p, { chosen, counts }] of options.entries()) {
    // Flow of the option in units of `scale`: its own column, or the given rate where the option is chosen.
    const flow: Term = isEnergy ? [chosen, model.rate / scale] : [builder.column(0, 1, "real"), 1];
    if (!isEnergy) {
      flows.push([flow[0], 1]);
      builder.atMost([flow, [chosen, -1]], 0);
    }
    for (const [s, stage] of (level.options[p]?.stages ?? []).entries()) {
      const served: Term[] = [];
      const copies: Term[] = [];
      for (const [c, cost] of stage.entries()) {
        const count = counts[s]?.[c];
        if (cost === null || count === null || count === undefined) continue;
        const perDevice = model.utilisationCap / (cost.loadSeconds * scale);
        copies.push([count, 1]);
        if (!isEnergy) {
          served.push([count, perDevice]);
          continue;
        }
        const part = builder.column(cost.joules * scale, model.rate / scale, "real");
        builder.atMost(
          [
            [part, 1],
            [count, -perDevice],
          ],
          0,
        );
        served.push([part, 1]);
      }
      builder.atLeast([...served, [flow[0], -flow[1]]], 0);
      builder.atLeast([...copies, [chosen, -level.copies]], 0);
    }
  }
  if (!isEnergy) builder.equal([...flows, [rateColumn, -1]], 0);
}

function keptCost(model: PlacementModel, c: number): number {
  const watts = model.classes[c]?.keptWatts ?? 0;
  return watts + Math.max(watts, 1) * DEVICE_TIE;
}

function countOf(model: PlacementModel, c: number): number {
  return model.classes[c]?.devices.length ?? 0;
}

function readLayout(
  model: PlacementModel,
  levels: readonly (readonly OptionColumns[])[],
  values: readonly number[],
): Layout {
  const countIn = (column: number | null | undefined): number =>
    column === null || column === undefined ? 0 : Math.round(values[column] ?? 0);
  const choice = levels.map((options) =>
    Math.max(
      0,
      options.findIndex(({ chosen }) => countIn(chosen) === 1),
    ),
  );
  const chosen = levels.flatMap((options, k) => options[choice[k] ?? 0]?.counts ?? []);
  const unused = model.classes.map((each) => each.devices.length);
  const bins = chosen.flatMap((stage, u) =>
    stage.map((column, classIndex): Bin => {
      const count = countIn(column);
      unused[classIndex] = (unused[classIndex] ?? 0) - count;
      return { classIndex, units: [u], count };
    }),
  );
  const empty = unused.map((count, classIndex): Bin => ({ classIndex, units: [], count }));
  return { choice, units: unitsOf(model, choice), bins: joinBins([...bins, ...empty]) };
}
