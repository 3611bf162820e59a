/** `parameters` of a cascade's config.pbtxt: how it operates. Read and checked before anything is loaded. Pure. */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile } from "../../proto/files/cascade-file.ts";
import { didYouMean } from "../../proto/suggest.ts";
import { ON_DRIFT, type OnDrift } from "../../scheduler/cascade/controller.ts";
import { type GearTable, NO_GEARS } from "../../scheduler/cascade/gears.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { readGears } from "./gear-list.ts";

/** What a request gets when a level fails: the failure, or the best level's answer so far, marked. */
export const LEVEL_FAILURE_POLICIES = ["fail", "degrade"] as const;
export interface CascadeParameters {
  /** undefined: the file's default. */
  readonly operatingPoint: string | undefined;
  readonly onLevelFailure: (typeof LEVEL_FAILURE_POLICIES)[number];
  /** Rows that the next level could not answer in time go straight to the last. */
  readonly deadlineEscalation: boolean;
  /** Share of the rows answered early that the last level answers too, for the drift watch; 0 to 1. */
  readonly shadowShare: number;
  readonly onDrift: OnDrift;
  readonly gears: GearTable;
}

const KNOWN_PARAMETERS = [
  "operating_point",
  "on_level_failure",
  "deadline_escalation",
  "shadow_share",
  "on_drift",
  "gears",
] as const;

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
  ["1", true],
  ["0", false],
]);

/** Throws INVALID_ARGUMENT naming the parameter, what it takes and what is near to a name that is unknown. */
export function readCascadeParameters(config: ModelConfig, file: CascadeFile): CascadeParameters {
  const where = `cascade '${config.name}'`;
  const values = new Map<string, string>();
  for (const [key, parameter] of Object.entries(config.parameters)) {
    if (!KNOWN_PARAMETERS.some((known) => known === key)) {
      throw refused(
        `${where}: unknown parameter '${key}'${didYouMean(key, KNOWN_PARAMETERS)}; known: ${KNOWN_PARAMETERS.join(", ")}`,
      );
    }
    values.set(key, parameter.string_value);
  }
  const complain = (key: string, expected: string) =>
    refused(`${where}: parameter '${key}' is '${values.get(key) ?? ""}', it takes ${expected}`);
  const oneOf = <T extends string>(key: string, choices: readonly T[], absent: T): T => {
    const value = values.get(key);
    if (value === undefined) return absent;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) throw complain(key, `one of ${choices.join(", ")}${didYouMean(value, choices)}`);
    return choice;
  };
  const points = file.operatingPoints.map((point) => point.name);
  const operatingPoint = values.get("operating_point");
  if (operatingPoint !== undefined && !points.includes(operatingPoint)) {
    throw refused(`${where} has no operating point '${operatingPoint}'; there are: ${points.join(", ")}`);
  }
  const gears = values.get("gears");
  const deadlineEscalation = BOOLEANS.get(values.get("deadline_escalation") ?? "true");
  if (deadlineEscalation === undefined) throw complain("deadline_escalation", "true or false");
  const shadowText = values.get("shadow_share") ?? "0";
  const shadowShare = shadowText.trim() === "" ? Number.NaN : Number(shadowText);
  if (!(shadowShare >= 0 && shadowShare <= 1)) throw complain("shadow_share", "a share from 0 to 1, such as 0.01");
  return {
    operatingPoint,
    onLevelFailure: oneOf("on_level_failure", LEVEL_FAILURE_POLICIES, "fail"),
    deadlineEscalation,
    shadowShare,
    onDrift: oneOf("on_drift", ON_DRIFT, "last_level"),
    gears: gears === undefined ? NO_GEARS : readGears(gears, points, (expected) => complain("gears", expected)),
  };
}

function refused(text: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", text);
}
