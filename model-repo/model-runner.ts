/** Runs models of a repository without serving them: `calibrate` and `profile` measure levels through it. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../proto/errors.ts";
import { NO_PARAMETERS } from "../proto/inference.ts";
import { chunkSizes, concatTensors, splitTensor, type Tensor } from "../proto/tensor.ts";
import { BatchedModel } from "../scheduler/batched-model.ts";
import { SystemClock } from "../scheduler/clock.ts";
import type { Model } from "../scheduler/model.ts";
import type { ModelSignature } from "../scheduler/signature.ts";
import { isSelfHashed, levelHash } from "./backends/certificate-hash.ts";
import { readProcessCpuSeconds } from "./backends/process-usage.ts";
import type { Log } from "./log.ts";
import { ModelRepository } from "./repository.ts";

export interface ModelRunnerOptions {
  readonly repositories: readonly string[];
  /** The models to load, with what they are made of; nothing else of the repository is touched. */
  readonly models: readonly string[];
  readonly log: Log;
}

/** The rows of one call and what was spent on them, in the runner's `costUnit`. */
interface RowsRun {
  readonly outputs: readonly Tensor[];
  readonly cost: number;
}

/** Backend of models whose work is done by another server, out of sight of this process's CPU clock. */
const REMOTE_BACKEND = "kserve";

export class ModelRunner {
  /** `cpuSeconds` of this process and of those that its instances run in; `seconds` of waiting where a model runs on another server. */
  readonly costUnit: "cpuSeconds" | "seconds";
  readonly costSource: string;
  readonly #repository: ModelRepository;
  readonly #directories: readonly string[];

  private constructor(repository: ModelRepository, directories: readonly string[], models: readonly string[]) {
    this.#repository = repository;
    this.#directories = directories;
    const isRemote = models.some((name) => repository.config(name, "").backend === REMOTE_BACKEND);
    this.costUnit = isRemote ? "seconds" : "cpuSeconds";
    this.costSource = isRemote
      ? "measured: time of the calls to the other server, one batch at a time"
      : "measured: CPU time of the process, batches as large as the model takes";
  }

  /** Loads the models; rejects with the first that cannot be loaded, and leaves nothing running then. */
  static async open({ repositories, models, log }: ModelRunnerOptions): Promise<ModelRunner> {
    const repository = new ModelRepository({
      repositories,
      controlMode: "explicit",
      pollSeconds: 0,
      loadModels: models,
      autoComplete: true,
      backendConfig: new Map(),
      loadThreadCount: 2,
      loadRetryCount: 0,
      allowUncertified: true,
      allowMassUnload: false,
      maxQueuedRequests: 0,
      clock: new SystemClock(),
      log,
    });
    const report = await repository.start();
    const failure = report.failures[0];
    if (report.repositoryError === undefined && failure === undefined) {
      return new ModelRunner(repository, repositories, models);
    }
    await repository.close();
    throw (
      report.repositoryError ??
      new InferenceError("UNAVAILABLE", `model '${failure?.name}' cannot be loaded: ${failure?.reason.trimEnd()}`)
    );
  }

  signature(model: string, version: string): ModelSignature {
    return this.#repository.lookup(model, version).signature;
  }

  /** Hash of the files of the version that answers, or of what another server says of its model; "" where unknown. */
  async levelHash(model: string, version: string): Promise<string> {
    const loaded = this.#repository.find(model, version);
    if (isSelfHashed(loaded.model)) return loaded.model.contentHash;
    for (const repository of this.#directories) {
      const directory = join(repository, model, loaded.version);
      if (await isDirectory(directory)) return levelHash(directory);
    }
    return "";
  }

  /** Runs rows one batch after another, so that the CPU time spent is theirs alone. */
  async run(model: string, version: string, inputs: readonly Tensor[], outputs: readonly string[]): Promise<RowsRun> {
    const loaded = this.#repository.lookup(model, version);
    const rows = inputs[0]?.shape[0] ?? 0;
    const sizes = chunkSizes(rows, Math.max(1, loaded.signature.maxBatchSize));
    const parts = inputs.map((input) => splitTensor(input, sizes));
    const requestedOutputs = outputs.map((name) => ({ name, parameters: NO_PARAMETERS }));
    const answers: (readonly Tensor[])[] = [];
    const before = cpuSeconds(loaded);
    let waitedMs = 0;
    for (let i = 0; i < sizes.length; i++) {
      const response = await loaded.infer({
        modelName: model,
        modelVersion: version,
        id: "",
        parameters: NO_PARAMETERS,
        inputs: parts.map((part) => part[i] as Tensor), // one chunk a size
        requestedOutputs,
      });
      answers.push(response.outputs);
      waitedMs += response.timing.computeInferMs;
    }
    return {
      outputs: outputs.map((name) => joined(name, answers, model)),
      cost: this.costUnit === "seconds" ? waitedMs / 1000 : cpuSeconds(loaded) - before,
    };
  }

  close(): Promise<void> {
    return this.#repository.close();
  }
}

/** CPU seconds so far of this process and of the processes that the model runs in. */
function cpuSeconds(model: Model): number {
  const { user, system } = process.cpuUsage();
  const reports = model instanceof BatchedModel ? model.instanceReports : [];
  const pids = reports.flatMap(({ pid }) => pid ?? []);
  return pids.reduce((sum, pid) => sum + (readProcessCpuSeconds(pid) ?? 0), (user + system) / 1e6);
}

function joined(name: string, answers: readonly (readonly Tensor[])[], model: string): Tensor {
  const parts = answers.map((outputs) => outputs.find((output) => output.name === name));
  const present = parts.filter((part) => part !== undefined);
  if (present.length < parts.length || present.length === 0) {
    throw new InferenceError("INTERNAL", `model '${model}' did not answer output '${name}'`);
  }
  return concatTensors(present);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
