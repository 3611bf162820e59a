/** The `kserve` backend: a model on another KServe v2 server, checked at load and served like any other. */
import { dirname } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { BatchedModel, type BatchedModelOptions } from "../../scheduler/batched-model.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { toSignature } from "../config/signature.ts";
import type { Backend, LoadContext } from "./backend.ts";
import { toBatchPolicy, toQueuePolicy } from "./batched-model.ts";
import type { BreakerStatistics } from "./breaker.ts";
import { SharedBreakers } from "./breaker-registry.ts";
import type { SelfHashed } from "./certificate-hash.ts";
import { readCredentials } from "./kserve-credentials.ts";
import { KserveEndpoint, loadKserveRpcs } from "./kserve-endpoint.ts";
import { toInferenceError } from "./kserve-error.ts";
import { KserveInstance } from "./kserve-instance.ts";
import { compareMetadata, metadataHash, type RemoteMetadata } from "./kserve-metadata.ts";
import { KserveRemote, type RemoteChange } from "./kserve-remote.ts";
import { type KserveSettings, readKserveSettings } from "./kserve-settings.ts";
import { PROBE_TIMEOUT_MS } from "./kserve-target.ts";

export const kserveBackend: Backend = { load: loadKserve };

/** A model on another server. */
export class RemoteModel extends BatchedModel implements SelfHashed {
  readonly contentHash: string;
  readonly #remote: KserveRemote;

  /** `contentHash`: `metadataHash` of what the targets said at load. */
  constructor(options: BatchedModelOptions, remote: KserveRemote, contentHash: string) {
    super(options);
    this.#remote = remote;
    this.contentHash = contentHash;
  }

  /** The health of each target, for metrics. */
  get breakers(): readonly BreakerStatistics[] {
    return this.#remote.breakers;
  }

  /** Follows the breakers: not ready while every target is left out. */
  override get isReady(): boolean {
    return this.#remote.isReady;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#remote.close();
  }
}

async function loadKserve(context: LoadContext): Promise<Model> {
  const { clock, log, version } = context;
  const { config } = context.resolved;
  const settings = readKserveSettings(config);
  const fields = { model: config.name, version };
  for (const parameter of settings.unknown) {
    log.warn(fields, `model '${config.name}': the kserve backend has no parameter '${parameter}'`);
  }
  const signature = toSignature(config, version);
  const { channel, connection } = await readCredentials(config.name, settings, dirname(context.versionDirectory));
  const rpcs = loadKserveRpcs();
  const endpoints = settings.targets.map((target) => new KserveEndpoint(target, settings, channel, rpcs));
  const remote = new KserveRemote({
    model: config.name,
    endpoints,
    settings,
    clock,
    breakers: context.breakers ?? new SharedBreakers(clock),
    connection,
    onChange: (change) => logChange(context, change),
  });
  let contentHash: string;
  try {
    const { failures, warnings, metadata } = await checkRemote(settings, signature, endpoints);
    contentHash = metadataHash(metadata);
    for (const warning of warnings) log.warn(fields, warning);
    remote.begin(failures);
  } catch (error) {
    remote.close();
    throw error;
  }
  const instances = config.instance_group.flatMap((group) =>
    Array.from({ length: Math.max(1, group.count) }, (_, index) => {
      return new KserveInstance({ name: `${group.name}_${index}`, signature, remoteModel: settings, remote, clock });
    }),
  );
  const batching = toBatchPolicy(config);
  const queuePolicy = toQueuePolicy(config, context.maxQueuedRequests);
  return new RemoteModel({ signature, instances, batching, queuePolicy, clock }, remote, contentHash);
}

function logChange({ log, version, resolved }: LoadContext, change: RemoteChange): void {
  const { name } = resolved.config;
  const fields = { model: name, version };
  switch (change.kind) {
    case "left out": {
      const { target, reason, isReady } = change;
      const consequence = isReady ? "" : ", so the model is not ready";
      log.warn(
        { ...fields, target, reason },
        `model '${name}', remote '${target}' is left out${consequence}: ${reason}`,
      );
      return;
    }
    case "taken back": {
      const { target } = change;
      log.info({ ...fields, target }, `model '${name}', remote '${target}' answers again and is asked more and more`);
      return;
    }
    case "ready again":
      log.info(fields, `model '${name}' is ready again`);
  }
}

interface RemoteCheck {
  /** Targets that do not answer, with the reason. */
  readonly failures: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
  /** Of the targets that answered. */
  readonly metadata: readonly RemoteMetadata[];
}

/** Asks every target; rejects where none is ready or where one has another model than the configuration describes. */
async function checkRemote(
  settings: KserveSettings,
  signature: ModelSignature,
  endpoints: readonly KserveEndpoint[],
): Promise<RemoteCheck> {
  const failures = new Map<string, string>();
  const warnings: string[] = [];
  const answers: RemoteMetadata[] = [];
  const check = async (endpoint: KserveEndpoint) => {
    const { target } = endpoint;
    let metadata: RemoteMetadata;
    try {
      await endpoint.checkServerReady(PROBE_TIMEOUT_MS);
      await endpoint.checkModelReady(PROBE_TIMEOUT_MS);
      metadata = await endpoint.modelMetadata(PROBE_TIMEOUT_MS);
    } catch (error) {
      failures.set(target, toInferenceError(signature.name, target, error).message);
      return;
    }
    answers.push(metadata);
    const findings = compareMetadata(signature, metadata);
    const where = `model '${signature.name}' does not fit '${settings.model}' on remote '${target}'`;
    const [problem] = findings.problems;
    if (problem !== undefined) throw new InferenceError("INVALID_ARGUMENT", `${where}: ${problem}`);
    for (const warning of findings.warnings) warnings.push(`model '${signature.name}', remote '${target}': ${warning}`);
  };
  await Promise.all(endpoints.map(check));
  if (failures.size < endpoints.length) return { failures, warnings, metadata: answers };
  throw new InferenceError(
    "UNAVAILABLE",
    `${[...failures.values()].join("; ")}. Start that server with the model, or correct the parameters 'target' and ` +
      "'model', then load this model again",
  );
}
