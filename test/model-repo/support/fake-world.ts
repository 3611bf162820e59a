/** A model repository without a disk and without backends: models are lines in a map, loads end when told to. */
import { basename } from "node:path";
import type { LoadContext } from "../../../model-repo/backends/backend.ts";
import type { ModelConfig, ModelVersionPolicy } from "../../../model-repo/config/model-config.ts";
import type { RepositoryParts } from "../../../model-repo/model-source.ts";
import { ModelRepository } from "../../../model-repo/repository.ts";
import type { IndexEntry, RepositoryOptions } from "../../../model-repo/repository-types.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { Model, ModelResponse } from "../../../scheduler/model.ts";
import { ModelStatistics } from "../../../scheduler/statistics.ts";
import { signature } from "../../support/tensors.ts";

export interface FakeModelFiles {
  /** Contents of the version directories, by number. */
  versions: Record<number, string>;
  config?: string;
  policy?: ModelVersionPolicy;
  parts?: string[];
  problem?: string;
  threads?: number;
}

/** A model that remembers what it was built over and whether it was closed. */
export class FakeModel implements Model {
  readonly signature = signature();
  readonly statistics = new ModelStatistics();
  readonly label: string;
  readonly parts: readonly Model[];
  readonly #close: () => Promise<void>;

  constructor(label: string, parts: readonly Model[], close: () => Promise<void>) {
    this.label = label;
    this.parts = parts;
    this.#close = close;
  }

  infer(): Promise<ModelResponse> {
    return Promise.reject(new InferenceError("UNIMPLEMENTED", "not asked in these tests"));
  }

  close(): Promise<void> {
    return this.#close();
  }
}

export class FakeWorld {
  readonly clock = new VirtualClock();
  readonly disk = new Map<string, FakeModelFiles>();
  /** "load a:1", "close a:1" in order; the label ends with the contents, as in "a:1=x". */
  readonly events: string[] = [];
  /** "a:1=y from a:1=x": whose place a model took. */
  readonly takeOvers: string[] = [];
  readonly logged: string[] = [];
  /** Versions ("a:1") whose load fails, with the reason. */
  readonly failing = new Map<string, string>();
  /** Versions ("a:1") whose load or close waits until the promise ends. */
  readonly loadGates = new Map<string, Promise<void>>();
  readonly closeGates = new Map<string, Promise<void>>();
  loading = 0;
  mostLoading = 0;
  isReadable = true;

  repository(options: Partial<RepositoryOptions> = {}): ModelRepository {
    const write = (_: object, text: string) => this.logged.push(text);
    return new ModelRepository(
      {
        repositories: ["/models"],
        controlMode: "explicit",
        pollSeconds: 1,
        loadModels: ["*"],
        autoComplete: true,
        backendConfig: new Map(),
        loadThreadCount: 4,
        loadRetryCount: 0,
        allowUncertified: false,
        allowMassUnload: false,
        maxQueuedRequests: 0,
        clock: this.clock,
        log: { info: write, warn: write, error: write },
        ...options,
      },
      this.parts(),
    );
  }

  parts(): RepositoryParts {
    return {
      files: {
        list: async () => {
          if (!this.isReadable) throw new InferenceError("NOT_FOUND", "the disk is gone");
          const models = [...this.disk].map(
            ([name, { problem }]) => [name, { directory: `/models/${name}`, problem }] as const,
          );
          return { models: new Map(models), ignored: [] };
        },
        fingerprint: async (directory) => {
          const files = this.#filesOf(directory);
          const versions = Object.entries(files.versions).map(
            ([version, contents]) => [Number(version), contents] as const,
          );
          return { config: files.config ?? "", versions: new Map(versions) };
        },
      },
      resolve: async ({ directory, override }) => {
        const files = this.#filesOf(directory);
        if ((override ?? files.config) === "broken") throw new InferenceError("INVALID_ARGUMENT", "config is broken");
        const name = basename(directory);
        const config = { name, version_policy: files.policy ?? {}, max_batch_size: 1 } as ModelConfig;
        return {
          config,
          file: `${directory}/config.pbtxt`,
          lineOf: () => undefined,
          labels: new Map(),
          versions: Object.keys(files.versions).map(Number),
          warnings: [],
        };
      },
      dependencies: async (config) => this.disk.get(config.name)?.parts ?? [],
      load: (context) => this.#load(context),
    };
  }

  #filesOf(directory: string): FakeModelFiles {
    const files = this.disk.get(basename(directory));
    if (files === undefined) throw new InferenceError("NOT_FOUND", `no directory ${directory}`);
    return files;
  }

  async #load(context: LoadContext): Promise<Model> {
    const { name } = context.resolved.config;
    const id = `${name}:${context.version}`;
    const files = this.disk.get(name);
    const label = `${id}=${files?.versions[Number(context.version)] ?? ""}`;
    const parts = (files?.parts ?? []).map((part) => context.lookup(part, ""));
    this.mostLoading = Math.max(this.mostLoading, ++this.loading);
    this.events.push(`load ${label}`);
    try {
      await this.loadGates.get(id);
      const reason = this.failing.get(id);
      if (reason !== undefined) throw new InferenceError("INTERNAL", reason);
    } finally {
      this.loading--;
    }
    context.claimThreads(files?.threads ?? 0);
    context.onTakeOver?.((before) => this.takeOvers.push(`${label} from ${(before as FakeModel).label}`));
    return new FakeModel(label, parts, async () => {
      await this.closeGates.get(id);
      this.events.push(`close ${label}`);
    });
  }
}

/** "a:1 READY" a row; a reason follows in brackets. */
export function rows(entries: readonly IndexEntry[]): string[] {
  return entries.map(({ name, version, state, reason }) => {
    const id = version === "" ? name : `${name}:${version}`;
    return `${id} ${state}${reason === "" ? "" : ` (${reason})`}`.trimEnd();
  });
}

/** A promise and the way to end it. */
export function gate(): { promise: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

/** Lets everything happen that is not held back. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}
