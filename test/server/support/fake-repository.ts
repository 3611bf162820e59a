/** A repository of models in memory, for tests of the front ends. */
import { setImmediate as turn } from "node:timers/promises";
import type { IndexEntry, LoadedModel, RepositoryParameters } from "../../../model-repo/repository-types.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../../proto/inference.ts";
import type { Cancellation } from "../../../scheduler/cancellation.ts";
import type { Model, ModelResponse } from "../../../scheduler/model.ts";
import type { ModelSignature } from "../../../scheduler/signature.ts";
import { ModelStatistics } from "../../../scheduler/statistics.ts";
import type { ServedRepository } from "../../../server/served-repository.ts";
import { normalModelConfig } from "./model-config.ts";

const TIMING = { computeInputMs: 0, computeInferMs: 0, computeOutputMs: 0 };

/** What the next requests of a FakeModel do. */
export type Behaviour =
  | { readonly kind: "echo" }
  | { readonly kind: "fail"; readonly error: unknown }
  /** Answers when `release` is called; rejects on cancellation. */
  | { readonly kind: "hold" };

/** Answers its inputs as outputs of the same names. */
export class FakeModel implements Model {
  readonly signature: ModelSignature;
  readonly statistics = new ModelStatistics();
  isReady = true;
  readonly requests: InferenceRequest[] = [];
  readonly cancelled: InferenceError[] = [];
  behaviour: Behaviour = { kind: "echo" };
  readonly #held: (() => void)[] = [];

  constructor(name: string, version = "1") {
    const spec = { name: "INPUT0", datatype: "FP32", dims: [-1] } as const;
    this.signature = { name, version, maxBatchSize: 8, inputs: [spec], outputs: [{ ...spec, name: "OUTPUT0" }] };
  }

  async infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    this.requests.push(request);
    const { behaviour } = this;
    if (behaviour.kind === "fail") throw behaviour.error;
    if (behaviour.kind === "hold") {
      await new Promise<void>((resolve, reject) => {
        this.#held.push(resolve);
        cancellation?.onCancel((reason) => {
          this.cancelled.push(reason);
          reject(reason);
        });
      });
    }
    return {
      modelName: this.signature.name,
      modelVersion: this.signature.version,
      id: request.id,
      parameters: NO_PARAMETERS,
      outputs: request.inputs,
      timing: TIMING,
    };
  }

  get heldCount(): number {
    return this.#held.length;
  }

  /** Answers the held requests, the newest first when asked. */
  release(order: "oldest" | "newest" = "oldest"): void {
    const held = this.#held.splice(0);
    for (const resolve of order === "oldest" ? held : held.reverse()) resolve();
  }

  async close(): Promise<void> {
    await turn();
  }
}

export class FakeRepository implements ServedRepository {
  readonly models = new Map<string, FakeModel>();
  readonly loads: { name: string; parameters: RepositoryParameters }[] = [];
  readonly unloads: { name: string; parameters: RepositoryParameters }[] = [];
  entries: IndexEntry[] = [];

  constructor(...names: string[]) {
    for (const name of names) this.models.set(name, new FakeModel(name));
  }

  model(name: string): FakeModel {
    const model = this.models.get(name);
    if (model === undefined) throw new Error(`the test has no model ${name}`);
    return model;
  }

  find(name: string, version: string): LoadedModel {
    const model = this.models.get(name);
    if (model === undefined) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    if (version !== "" && version !== model.signature.version) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' version ${version} is not found`);
    }
    return loaded(model);
  }

  lookup(name: string, version: string): Model {
    return this.find(name, version).model;
  }

  config(name: string, version: string) {
    return this.find(name, version).config;
  }

  readyVersions(name: string): string[] {
    const model = this.models.get(name);
    return model === undefined ? [] : [model.signature.version];
  }

  isModelReady(name: string, version: string): boolean {
    const model = this.models.get(name);
    return model?.isReady === true && (version === "" || version === model.signature.version);
  }

  async index(readyOnly: boolean): Promise<IndexEntry[]> {
    return this.entries.filter((entry) => !readyOnly || entry.state === "READY");
  }

  async load(name: string, parameters: RepositoryParameters): Promise<void> {
    this.loads.push({ name, parameters });
  }

  async unload(name: string, parameters: RepositoryParameters): Promise<void> {
    this.unloads.push({ name, parameters });
  }

  loaded(): LoadedModel[] {
    return [...this.models.values()].map(loaded);
  }
}

function loaded(model: FakeModel): LoadedModel {
  const { name, version } = model.signature;
  return { name, version, model, config: normalModelConfig(name), labels: new Map(), loadSeconds: 0.25 };
}
