/** `/v2/models/{model}[/versions/{version}]/operating-point`: which operating point a cascade serves, and its switch. */
import { ServedCascade } from "../model-repo/backends/served-cascade.ts";
import type { Log } from "../model-repo/log.ts";
import { type ErrorCode, InferenceError } from "../proto/errors.ts";
import { failure, type HttpAnswer, type HttpRequest, type HttpRoute, json } from "./http-server.ts";
import type { ServedRepository } from "./served-repository.ts";

const PATH = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/operating-point$/;
const STATUSES: ReadonlyMap<ErrorCode, number> = new Map([
  ["NOT_FOUND", 404],
  ["INVALID_ARGUMENT", 400],
  ["UNAVAILABLE", 503],
]);
const KEY = "operating_point";

/**
 * GET answers 200 and the state; POST `{"operating_point": NAME}` switches first. 404: no such model or version; 400: not
 * a cascade, a body of another form, a point that may not be chosen; 503: the version is not ready.
 */
export function operatingPointRoute(repository: Pick<ServedRepository, "lookup">, log: Log): HttpRoute {
  return {
    path: PATH,
    methods: ["GET", "POST"],
    protocol: "model-repository",
    answer: (request) => {
      try {
        return answer(request, repository, log);
      } catch (error) {
        const { code, message } = InferenceError.from(error);
        const status = STATUSES.get(code);
        if (status === undefined) throw error;
        return failure(status, message);
      }
    },
  };
}

function answer(
  { method, groups, body }: HttpRequest,
  repository: Pick<ServedRepository, "lookup">,
  log: Log,
): HttpAnswer {
  const [name = "", version = ""] = groups;
  const model = repository.lookup(name, version);
  if (!(model instanceof ServedCascade)) return failure(400, `model '${name}' is not a cascade`);
  if (method === "POST") {
    const before = model.operatingPoint;
    const point = readPoint(body);
    model.choose(point);
    const fields = { model: name, version: model.signature.version, from: before, to: point };
    log.info(fields, `model '${name}': operating point switched from '${before}' to '${point}'`);
  }
  return json(200, stateOf(model));
}

function readPoint(body: string): string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new InferenceError("INVALID_ARGUMENT", `the body is not valid JSON: ${String(error)}`);
  }
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  const [key, point] = entries[0] ?? [];
  if (entries.length === 1 && key === KEY && typeof point === "string") return point;
  throw new InferenceError("INVALID_ARGUMENT", `the body must be {"${KEY}": "NAME"} and nothing else`);
}

function stateOf(model: ServedCascade): object {
  const alarm = model.cascade.driftAlarm;
  return {
    model_name: model.signature.name,
    model_version: model.signature.version,
    operating_point: model.operatingPoint,
    gear: model.cascade.gear,
    drift: alarm === null ? null : { detector: alarm.detector, text: alarm.text, at_epoch_ms: alarm.atEpochMs },
    operating_points: model.file.operatingPoints.map(({ name }) => {
      const finding = model.certificates.get(name);
      return {
        name,
        selectable: model.selectable.has(name),
        certificate: finding?.state ?? "uncertified",
        ...(finding === undefined || finding.reason === "" ? {} : { reason: finding.reason }),
      };
    }),
  };
}
