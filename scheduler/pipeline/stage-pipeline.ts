/**
 * A model cut into stages that run behind each other, several batches in flight. To `BatchedModel` each copy of the
 * first stage is an instance: it takes the next batch as soon as the last one has gone on to the second stage.
 */
import { InferenceError } from "../../proto/errors.ts";
import { type InferenceRequest, NO_PARAMETERS, type RequestedOutput } from "../../proto/inference.ts";
import { concatTensors, splitTensor, type Tensor } from "../../proto/tensor.ts";
import type { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { ExecutedBatch, ExecutionTiming, ModelInstance, Outage } from "../instance.ts";
import type { ModelSignature } from "../signature.ts";
import { type StageCounters, StagePool } from "./stage-pool.ts";

export interface PipelineStage {
  /** For statistics and errors. */
  readonly id: string;
  /** Copies; they take whole batches, shapes as they are. */
  readonly instances: readonly ModelInstance[];
  /** Tensors it takes: the request's inputs, or what any stage before it made, by name. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export class StagePipeline {
  /** One for each copy of the first stage. */
  readonly heads: readonly ModelInstance[];
  readonly #signature: ModelSignature;
  readonly #stages: readonly (Omit<PipelineStage, "instances"> & { readonly pool: StagePool })[];
  #openHeads: number;
  #closed: Promise<void> | undefined;

  constructor(signature: ModelSignature, stages: readonly PipelineStage[], clock: Clock) {
    const first = stages[0];
    if (first === undefined) throw new InferenceError("INTERNAL", `model '${signature.name}' has no stages`);
    this.#signature = signature;
    this.#stages = stages.map(({ id, instances, inputs, outputs }) => ({
      id,
      inputs,
      outputs,
      pool: new StagePool(instances, clock),
    }));
    this.#openHeads = first.instances.length;
    const reports = () => this.#stages.flatMap(({ pool }) => pool.reports);
    const outage = (head: number) =>
      headOutage(
        this.#stages.map(({ pool }) => pool),
        first.instances.length - head,
      );
    this.heads = first.instances.map(({ name }, i) => ({
      name,
      get outage() {
        return outage(i);
      },
      onOutageChange: (callback) => {
        for (const { pool } of this.#stages) pool.onOutageChange(callback);
      },
      get reports() {
        return i === 0 ? reports() : [];
      },
      execute: (requests, cancellation, onFree) => this.#run(requests, cancellation, onFree),
      close: () => this.#closeHead(),
    }));
  }

  /** By stage id, in order. */
  get counters(): ReadonlyMap<string, StageCounters> {
    return new Map(this.#stages.map(({ id, pool }) => [id, pool.counters]));
  }

  async #run(
    requests: readonly InferenceRequest[],
    cancellation: Cancellation | undefined,
    onFree: (() => void) | undefined,
  ): Promise<ExecutedBatch> {
    const tensors = new Map(joined(requests).map((tensor) => [tensor.name, tensor]));
    const timing = { computeInputMs: 0, computeInferMs: 0, computeOutputMs: 0 };
    const wanted = this.#wantedOutputs(requests);
    // What the batch holds of the stage before, until it has room in the next one.
    let leaveBefore: () => void = () => undefined;
    try {
      for (const [i, stage] of this.#stages.entries()) {
        await stage.pool.enter();
        leaveBefore();
        leaveBefore = () => stage.pool.leave();
        if (i === 1) onFree?.();
        const ran = await stage.pool.run(this.#stageRequest(i, tensors, wanted), cancellation);
        leaveBefore = () => {
          ran.giveBack();
          stage.pool.leave();
        };
        for (const tensor of ran.batch.outputs[0] ?? []) tensors.set(tensor.name, tensor);
        addTiming(timing, ran.batch.timing);
      }
    } finally {
      leaveBefore();
    }
    return { outputs: this.#outputsOf(requests, tensors, wanted), timing };
  }

  /** The batch as one request to a stage, asking for what later stages and the callers need of it. */
  #stageRequest(i: number, tensors: ReadonlyMap<string, Tensor>, wanted: ReadonlySet<string>): InferenceRequest {
    const { name, version } = this.#signature;
    const stage = this.#stages[i];
    const later = this.#stages.slice(i + 1);
    const isNeeded = (output: string) => wanted.has(output) || later.some(({ inputs }) => inputs.includes(output));
    return {
      modelName: name,
      modelVersion: version,
      id: "",
      parameters: NO_PARAMETERS,
      inputs: (stage?.inputs ?? []).flatMap((input) => tensors.get(input) ?? []),
      requestedOutputs: (stage?.outputs ?? []).filter(isNeeded).map(requestedOutput),
    };
  }

  #wantedOutputs(requests: readonly InferenceRequest[]): ReadonlySet<string> {
    const all = this.#signature.outputs.map((output) => output.name);
    if (requests.some((request) => request.requestedOutputs.length === 0)) return new Set(all);
    return new Set(requests.flatMap((request) => request.requestedOutputs.map((output) => output.name)));
  }

  /** Each request's rows of the answer, as views. */
  #outputsOf(
    requests: readonly InferenceRequest[],
    tensors: ReadonlyMap<string, Tensor>,
    wanted: ReadonlySet<string>,
  ): readonly (readonly Tensor[])[] {
    const answers: Tensor[][] = requests.map(() => []);
    const rows = requests.map((request) => request.inputs[0]?.shape[0] ?? 1);
    const batchSize = rows.reduce((sum, count) => sum + count, 0);
    for (const { name } of this.#signature.outputs) {
      if (!wanted.has(name)) continue;
      const tensor = tensors.get(name);
      if (tensor === undefined) throw this.#unexpected(`no stage made output '${name}'`);
      if (this.#signature.maxBatchSize === 0) {
        answers[0]?.push(tensor);
        continue;
      }
      if (tensor.shape[0] !== batchSize) {
        throw this.#unexpected(`output '${name}' has ${tensor.shape[0] ?? "no"} rows for a batch of ${batchSize}`);
      }
      for (const [i, part] of splitTensor(tensor, rows).entries()) answers[i]?.push(part);
    }
    return answers;
  }

  #unexpected(what: string): InferenceError {
    return new InferenceError("INTERNAL", `model '${this.#signature.name}', stages: ${what}`);
  }

  #closeHead(): Promise<void> {
    this.#openHeads--;
    if (this.#openHeads > 0) return Promise.resolve();
    this.#closed ??= Promise.all(this.#stages.map(({ pool }) => pool.close())).then(() => undefined);
    return this.#closed;
  }
}

/**
 * Why a head takes no batches: some stage has no copy that runs, or so many copies of the first stage are out that the
 * heads before this one are enough. Batches then wait in the model's queue, where they grow, or are refused there.
 * @param headsFromHere how many heads there are from this one on
 */
function headOutage(stages: readonly StagePool[], headsFromHere: number): Outage | undefined {
  const blocked = stages.flatMap(({ outage }) => outage ?? []);
  const worst = blocked.find(({ isDown }) => isDown) ?? blocked[0];
  return worst ?? stages[0]?.outages[headsFromHere - 1];
}

/** The batch's inputs in one piece each; no copy for a single request. */
function joined(requests: readonly InferenceRequest[]): readonly Tensor[] {
  const first = requests[0]?.inputs ?? [];
  if (requests.length === 1) return first;
  return first.map(({ name }) =>
    concatTensors(requests.flatMap((request) => request.inputs.find((input) => input.name === name) ?? [])),
  );
}

function requestedOutput(name: string): RequestedOutput {
  return { name, parameters: NO_PARAMETERS };
}

function addTiming(sum: { -readonly [K in keyof ExecutionTiming]: number }, timing: ExecutionTiming): void {
  sum.computeInputMs += timing.computeInputMs;
  sum.computeInferMs += timing.computeInferMs;
  sum.computeOutputMs += timing.computeOutputMs;
}
