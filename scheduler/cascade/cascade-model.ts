/** A confidence cascade: a model made of models, smallest first. */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, OperatingPoint } from "../../proto/files/cascade-file.ts";
import type { InferenceRequest, Parameter, Parameters } from "../../proto/inference.ts";
import { requestIdPrefix } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { Model, ModelResponse } from "../model.ts";
import type { ModelSignature } from "../signature.ts";
import { ModelStatistics } from "../statistics.ts";
import { validateRequest } from "../validate-request.ts";
import { CascadeRun, type RunPlan } from "./cascade-run.ts";
import { CascadeStatistics } from "./cascade-statistics.ts";
import { CONFIDENCE_OUTPUT, LEVEL_OUTPUT, Level } from "./level.ts";

export interface CascadeOptions {
  readonly signature: ModelSignature;
  readonly file: CascadeFile;
  /** The loaded model of each level of the file. */
  readonly models: readonly Model[];
  /** The operating point of requests that name none. */
  readonly operatingPoint: string;
  /** Points that a request may name. */
  readonly selectablePoints: ReadonlySet<string>;
  readonly clock: Clock;
}

export class CascadeModel implements Model {
  readonly signature: ModelSignature;
  readonly statistics = new ModelStatistics();
  readonly cascadeStatistics: CascadeStatistics;
  readonly #levels: readonly Level[];
  readonly #points: ReadonlyMap<string, OperatingPoint>;
  readonly #defaultPoint: OperatingPoint;
  readonly #selectablePoints: ReadonlySet<string>;
  readonly #clock: Clock;
  #running = 0;
  #closed = false;
  #onDrained: (() => void) | undefined;

  /** Wires the levels; throws INVALID_ARGUMENT where one does not fit the cascade's signature. */
  constructor(options: CascadeOptions) {
    const { signature, file } = options;
    this.signature = signature;
    this.#clock = options.clock;
    this.#selectablePoints = options.selectablePoints;
    checkOwnOutputs(signature);
    this.#levels = file.levels.map((level, k) => {
      const where = `cascade '${signature.name}', level ${k} ('${level.model}')`;
      return new Level(level, options.models[k] as Model, signature, where); // one model a level
    });
    this.cascadeStatistics = new CascadeStatistics(this.#levels.length);
    this.#points = new Map(file.operatingPoints.map((point) => [point.name, point]));
    const point = this.#points.get(options.operatingPoint);
    if (point === undefined) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `cascade '${signature.name}' has no operating point '${options.operatingPoint}'; there are: ` +
          [...this.#points.keys()].join(", "),
      );
    }
    this.#defaultPoint = point;
  }

  async infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    const startedMs = this.#clock.now();
    this.#running++;
    this.statistics.pendingRequestCount++;
    try {
      return await this.#cascade(request, cancellation, startedMs);
    } catch (error) {
      const failure = InferenceError.from(error);
      const reason = cancellation?.reason === failure ? "CANCELED" : "OTHER";
      this.statistics.recordFailure(reason, this.#clock.now() - startedMs);
      throw failure;
    } finally {
      this.statistics.pendingRequestCount--;
      this.#running--;
      if (this.#running === 0) this.#onDrained?.();
    }
  }

  /** Waits for the requests in hand; the levels are models of their own and stay. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
  }

  async #cascade(
    request: InferenceRequest,
    cancellation: Cancellation | undefined,
    startedMs: number,
  ): Promise<ModelResponse> {
    if (this.#closed) {
      throw new InferenceError(
        "UNAVAILABLE",
        `${requestIdPrefix(request.id)}Server is stopping, scheduler for model has stopped accepting new inference ` +
          "requests",
      );
    }
    const rows = validateRequest(this.signature, request);
    const point = this.#choosePoint(request);
    const run = new CascadeRun(this.#plan(request, point), request, rows, cancellation, this.cascadeStatistics);
    const startedEpochMs = this.#clock.epochMs();
    const outputs = await run.run();
    const response: ModelResponse = {
      modelName: this.signature.name,
      modelVersion: this.signature.version,
      id: request.id,
      parameters: responseParameters(point, run.levels, this.#levels.length),
      outputs: this.#select(request, outputs, run),
      timing: run.timing,
    };
    this.statistics.recordExecution(rows, run.timing, startedEpochMs);
    this.statistics.recordSuccess(rows, this.#clock.now() - startedMs, 0, run.timing);
    return response;
  }

  /** The request's own point, if it may choose it, else the cascade's. */
  #choosePoint(request: InferenceRequest): OperatingPoint {
    const asked = request.parameters.get("cascade_operating_point");
    if (asked === undefined) return this.#defaultPoint;
    if (asked.kind !== "string") throw wrongParameter(request, "cascade_operating_point", "a string");
    const point = this.#points.get(asked.value);
    if (point !== undefined && this.#selectablePoints.has(point.name)) return point;
    const problem =
      point === undefined
        ? `no operating point '${asked.value}'`
        : `the operating point '${asked.value}', but it is uncertified: name it in the model's configuration or start ` +
          "the server with --allow-uncertified";
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${requestIdPrefix(request.id)}model '${this.signature.name}' has ${problem}; a request may choose: ` +
        [...this.#selectablePoints].join(", "),
    );
  }

  #plan(request: InferenceRequest, point: OperatingPoint): RunPlan {
    const last = this.#levels.length - 1;
    const entryLevel = levelParameter(request, "cascade_min_level", 0, last);
    const lastLevel = levelParameter(request, "cascade_max_level", last, last);
    if (entryLevel > lastLevel) {
      throw wrongParameter(request, "cascade_min_level", `at most cascade_max_level, ${lastLevel}`);
    }
    return { levels: this.#levels, gates: point.gates, entryLevel, lastLevel };
  }

  /** The outputs the request asked for, in the signature's order, with the cascade's own. */
  #select(request: InferenceRequest, outputs: readonly Tensor[], run: CascadeRun): readonly Tensor[] {
    const selected: Tensor[] = [];
    for (const { name } of this.signature.outputs) {
      if (request.requestedOutputs.length > 0 && !request.requestedOutputs.some((asked) => asked.name === name))
        continue;
      if (name === LEVEL_OUTPUT) selected.push(column(name, "INT32", run.levels));
      else if (name === CONFIDENCE_OUTPUT) selected.push(column(name, "FP32", run.confidences));
      else selected.push(...outputs.filter((output) => output.name === name));
    }
    return selected;
  }
}

/** CASCADE_LEVEL and CASCADE_CONFIDENCE, where listed, must have the types that the cascade fills in. */
function checkOwnOutputs(signature: ModelSignature): void {
  if (signature.maxBatchSize < 1) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `cascade '${signature.name}' needs a max_batch_size of at least 1: it decides row by row`,
    );
  }
  for (const [name, datatype] of [
    [LEVEL_OUTPUT, "INT32"],
    [CONFIDENCE_OUTPUT, "FP32"],
  ]) {
    const spec = signature.outputs.find((output) => output.name === name);
    if (spec === undefined || (spec.datatype === datatype && spec.dims.length === 1 && spec.dims[0] === 1)) continue;
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `cascade '${signature.name}': output '${name}' must have data_type TYPE_${datatype} and dims [ 1 ]`,
    );
  }
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

function responseParameters(point: OperatingPoint, rowLevels: Int32Array, levels: number): Parameters {
  const rowsPerLevel = new Array<number>(levels).fill(0);
  let highest = 0;
  for (const level of rowLevels) {
    rowsPerLevel[level] = (rowsPerLevel[level] ?? 0) + 1;
    highest = Math.max(highest, level);
  }
  return new Map<string, Parameter>([
    ["cascade_operating_point", { kind: "string", value: point.name }],
    ["cascade_level", { kind: "int64", value: BigInt(highest) }],
    ["cascade_rows_per_level", { kind: "string", value: rowsPerLevel.join() }],
  ]);
}

/** One value a row, as a [rows, 1] tensor. */
function column(name: string, datatype: "INT32" | "FP32", values: Int32Array | Float32Array): Tensor {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, datatype, shape: [values.length, 1], data };
}
