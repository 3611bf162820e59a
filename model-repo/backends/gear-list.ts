/** The cascade's parameter `gears`: `AP@0,EO@50` by queue delay, `AP@0/s,EO@150/s` by arrival rate. Pure. */
import type { InferenceError } from "../../proto/errors.ts";
import type { Gear, GearTable } from "../../scheduler/cascade/gears.ts";

const GEAR = /^\s*(.+)@(\d+(?:\.\d+)?)(\/s)?\s*$/;
const FORMS =
  "gears by rising load, either POINT@MILLISECONDS of the last level's queue delay, such as AP@0,EO@50, or POINT@RATE/s, " +
  "requests a second, such as AP@0/s,EO@150/s";

/** Throws what `complain` makes of the text that says what the parameter takes. `points`: those of the cascade. */
export function readGears(
  text: string,
  points: readonly string[],
  complain: (expected: string) => InferenceError,
): GearTable {
  const gears: Gear[] = [];
  let isByRate: boolean | undefined;
  for (const part of text.split(",")) {
    const [, point = "", threshold = "", perSecond] = GEAR.exec(part) ?? [];
    if (point === "") throw complain(`${FORMS}; not '${part.trim()}'`);
    if (!points.includes(point)) throw complain(`points of the cascade: ${points.join(", ")}; not '${point}'`);
    isByRate ??= perSecond !== undefined;
    if (isByRate !== (perSecond !== undefined)) {
      throw complain("queue delays (POINT@MILLISECONDS) or arrival rates (POINT@RATE/s), not both in one list");
    }
    const from = Number(threshold);
    const before = gears.at(-1);
    if (before !== undefined && from <= before.from) {
      throw complain(`rising ${isByRate ? "rates" : "delays"}; ${from} comes after ${before.from}`);
    }
    gears.push({ point, from });
  }
  return { by: isByRate === true ? "arrivalsPerSecond" : "queueDelayMs", gears };
}
