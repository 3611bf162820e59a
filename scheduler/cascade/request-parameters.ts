/** What a request may say about its way through a cascade, and what the response says of it. */
import { InferenceError } from "../../proto/errors.ts";
import type { OperatingPoint } from "../../proto/files/cascade-file.ts";
import { type InferenceRequest, type Parameter, type Parameters, requestIdPrefix } from "../../proto/inference.ts";
import type { PointController } from "./controller.ts";

/** The operating point that the request names, if it may be chosen; throws INVALID_ARGUMENT if not. */
export function requestedPoint(request: InferenceRequest, controller: PointController): OperatingPoint | undefined {
  const asked = request.parameters.get("cascade_operating_point");
  if (asked === undefined) return undefined;
  if (asked.kind !== "string") throw wrongParameter(request, "cascade_operating_point", "a string");
  return controller.selectable(asked.value, requestIdPrefix(request.id));
}

export interface LevelBounds {
  readonly min: number;
  readonly max: number;
}

/** The levels that the request allows, `last` the cascade's last; throws INVALID_ARGUMENT where there are none. */
export function levelBounds(request: InferenceRequest, last: number): LevelBounds {
  const min = levelParameter(request, "cascade_min_level", 0, last);
  const max = levelParameter(request, "cascade_max_level", last, last);
  if (min > max) throw wrongParameter(request, "cascade_min_level", `at most cascade_max_level, ${max}`);
  return { min, max };
}

/** `rowLevels`: the level that answered each row; `levels`: of the cascade. */
export function responseParameters(
  point: OperatingPoint,
  rowLevels: Int32Array,
  levels: number,
  degraded: boolean,
): Parameters {
  const rowsPerLevel = new Array<number>(levels).fill(0);
  let highest = 0;
  for (const level of rowLevels) {
    rowsPerLevel[level] = (rowsPerLevel[level] ?? 0) + 1;
    highest = Math.max(highest, level);
  }
  const parameters = new Map<string, Parameter>([
    ["cascade_operating_point", { kind: "string", value: point.name }],
    ["cascade_level", { kind: "int64", value: BigInt(highest) }],
    ["cascade_rows_per_level", { kind: "string", value: rowsPerLevel.join() }],
  ]);
  if (degraded) parameters.set("cascade_degraded", { kind: "bool", value: true });
  return parameters;
}

function levelParameter(request: InferenceRequest, name: string, absent: number, last: number): number {
  const parameter: Parameter | undefined = request.parameters.get(name);
  if (parameter === undefined) return absent;
  const isLevel =
    (parameter.kind === "int64" || parameter.kind === "uint64") &&
    parameter.value >= 0n &&
    parameter.value <= BigInt(last);
  if (!isLevel) throw wrongParameter(request, name, `an int64 between 0 and ${last}`);
  return Number(parameter.value);
}

function wrongParameter(request: InferenceRequest, name: string, expected: string): InferenceError {
  return new InferenceError(
    "INVALID_ARGUMENT",
    `${requestIdPrefix(request.id)}parameter '${name}' for model '${request.modelName}' must be ${expected}`,
  );
}
