/** Sentences that a calibration says beside its figures, on the terminal and in the report. */
import type { CalibratedCascade, CalibrationData, PreparedSplits } from "../../planner/cascade/calibrate.ts";
import { feasibility } from "../../planner/cascade/certify.ts";
import { groupSizes } from "../../planner/cascade/test-units.ts";
import type { CalibrateOptions } from "./options.ts";
import { percent } from "./summary.ts";

/** Share of the last level's cost above which a level hardly pays. */
const DEAR_SHARE = 0.8;

/** What so many rows, or groups of rows, can show, before the search. */
export function feasibilityText(
  { splits, groups }: PreparedSplits,
  { metric, risk, maxDrop }: Pick<CalibrateOptions, "metric" | "risk" | "maxDrop">,
): string {
  const rows = splits.certify.length;
  const { samples, smallestMargin, marginAtTwoPercentDisagreement } = feasibility(rows, metric, risk, groups);
  const what =
    groups === null
      ? `${samples} rows`
      : `${samples} groups of ${rows} rows, each weighing by its rows up to ${groups.mostRows},`;
  const differing = groups === null ? "where 2 % of the answers differ" : "where 2 % of the groups answer otherwise";
  return (
    `${what} can certify a ${metric} of ${percent(smallestMargin)} at best (no loss at all), about ` +
    `${percent(marginAtTwoPercentDisagreement)} ${differing}; asked: ${percent(maxDrop)}`
  );
}

/** Whatever makes the promise weaker than it looks or the cascade dearer than it need be. */
export function warningsOf(
  data: CalibrationData,
  prepared: PreparedSplits,
  calibrated: CalibratedCascade,
  certifyUses: number,
): string[] {
  return [
    ...(certifyUses > 1 ? [reuseText(certifyUses)] : []),
    ...groupWarnings(prepared),
    ...levelWarnings(data, calibrated),
  ];
}

function reuseText(uses: number): string {
  return (
    `These certify rows, or some of them, were used ${uses} times for this cascade; a promise that was looked for ` +
    "repeatedly is weaker than its risk says."
  );
}

/** The limit of a group's weight comes from the other splits; the certify split may have larger ones. */
function groupWarnings({ groups }: PreparedSplits): string[] {
  if (groups === null) return [];
  const larger = groupSizes(groups.of).filter((rows) => rows > groups.mostRows).length;
  if (larger === 0) return [];
  return [
    `${larger} groups of the certify split have more than ${groups.mostRows} rows, the most of any group that chose ` +
      "thresholds: they weigh as that many rows in the certificate.",
  ];
}

/** Levels that make no cascade: dearer or better than the one that all are compared with. */
function levelWarnings({ levels, costs }: CalibrationData, { levelAccuracy }: CalibratedCascade): string[] {
  const last = levels.length - 1;
  const name = (k: number) => `level ${k} ('${levels[k]?.model}')`;
  const lastCost = costs[last]?.value ?? 0;
  const lastAccuracy = levelAccuracy[last]?.accuracy ?? 1;
  return levels
    .slice(0, last)
    .flatMap((_, k) => [
      ...((costs[k]?.value ?? 0) > DEAR_SHARE * lastCost
        ? [
            `${name(k)} costs nearly as much as the last level, or more: little can be saved. Levels go from small to ` +
              "large; where calls cost more than the models, raise max_batch_size, or give --costs.",
          ]
        : []),
      ...((levelAccuracy[k]?.interval[0] ?? 0) > lastAccuracy
        ? [`${name(k)} is right more often than the last level, which all are compared with: are the levels in order?`]
        : []),
    ]);
}
