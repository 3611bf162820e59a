/** A model of the repositories as it is opened to be measured: with the server's own instances, on given devices. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type Device, type DeviceClass, threadsOf } from "../../proto/files/devices-file.ts";
import { fromElementType } from "../../proto/onnx/model.ts";
import { readModel } from "../../proto/onnx/read-model.ts";
import { elementCount } from "../../proto/tensor.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { levelHash } from "../backends/certificate-hash.ts";
import type { SessionSettings } from "../backends/instance-protocol.ts";
import { bind } from "../backends/onnx.ts";
import { OnnxInstance, type OnnxInstanceOptions } from "../backends/onnx-instance.ts";
import { planOnnx } from "../backends/onnx-settings.ts";
import { readProcessMemory } from "../backends/process-usage.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { checkModelFile, findModelFile } from "../config/model-file.ts";
import { resolveModelConfig } from "../config/resolve.ts";
import { toSignature } from "../config/signature.ts";
import { wantedVersions } from "../lifecycle.ts";
import type { Log } from "../log.ts";
import { openCardMemory } from "../meters/nvidia-cards.ts";
import { diskFiles } from "../repository-files.ts";

/** The version of a model that answers where none is asked for. */
export interface MeasuredModel {
  readonly config: ModelConfig;
  readonly signature: ModelSignature;
  readonly version: string;
  readonly versionDirectory: string;
  readonly modelPath: string;
  /** `sha256:files:<hex>` of the version's files. */
  readonly modelHash: string;
}

/** An instance on each of a class's devices. */
export interface OpenedModel {
  readonly instances: readonly ModelInstance[];
  /** Most memory that one of them has used so far; undefined where the system does not tell. */
  peakBytes(): number | undefined;
  close(): Promise<void>;
}

/** Triton's, for models that can batch and do not say how much. */
const DEFAULT_MAX_BATCH_SIZE = 4;

/** Node by itself maps 49 MiB of private memory, and hangs at its start where it does not get them. */
const LEAST_PROCESS_BYTES = 64 * 2 ** 20;

/** Reads a model's configuration; NOT_FOUND, UNIMPLEMENTED for what does not run here, or what is wrong with it. */
export async function readMeasuredModel(repositories: readonly string[], name: string): Promise<MeasuredModel> {
  const listed = (await diskFiles.list(repositories)).models.get(name);
  if (listed === undefined) {
    throw new InferenceError("NOT_FOUND", `there is no model '${name}' in ${repositories.join(", ")}`);
  }
  if (listed.problem !== undefined) throw new InferenceError("INVALID_ARGUMENT", `model '${name}': ${listed.problem}`);
  const resolved = await resolveModelConfig({
    directory: listed.directory,
    autoComplete: true,
    defaultMaxBatchSize: DEFAULT_MAX_BATCH_SIZE,
  });
  const { config, versions } = resolved;
  if (config.backend !== "onnxruntime") {
    throw new InferenceError(
      "UNIMPLEMENTED",
      `model '${name}' has the backend '${config.backend}': only models that onnxruntime runs here can be profiled`,
    );
  }
  const newest = wantedVersions(config.version_policy, versions).at(-1);
  if (newest === undefined) throw new InferenceError("NOT_FOUND", `model '${name}' has no version directory`);
  const version = String(newest);
  const versionDirectory = join(listed.directory, version);
  await checkModelFile(resolved, versionDirectory);
  return {
    config,
    signature: toSignature(config, version),
    version,
    versionDirectory,
    modelPath: await findModelFile(config, versionDirectory),
    modelHash: await levelHash(versionDirectory),
  };
}

/** What is opened: a whole model or a stage of one. */
export interface OpenedFile
  extends Pick<OnnxInstanceOptions, "model" | "modelPath" | "settings" | "batches" | "inputs" | "outputs"> {
  /** Instances are named by it and their device. */
  readonly label: string;
}

interface Environment {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the model in a process of its own on every device: pinned to its cores and held to the class's memory. Rejects
 * with the first reason and leaves nothing running then.
 */
export function openOnDevices(
  { config, modelPath }: MeasuredModel,
  devices: readonly Device[],
  deviceClass: DeviceClass,
  environment: Environment,
): Promise<OpenedModel> {
  const file: OpenedFile = {
    label: config.name,
    model: config.name,
    modelPath,
    settings: sessionSettings(config),
    batches: config.max_batch_size > 0,
    inputs: config.input.map((input) => bind(config.name, input)),
    outputs: config.output.map((output) => bind(config.name, output)),
  };
  return openFileOnDevices(file, devices, deviceClass, environment);
}

/** The same for any file; threads and device of its settings are the devices'. */
export async function openFileOnDevices(
  file: OpenedFile,
  devices: readonly Device[],
  deviceClass: DeviceClass,
  environment: Environment,
): Promise<OpenedModel> {
  const { kind, memoryBytes } = deviceClass;
  if (kind === "cpu" && memoryBytes < LEAST_PROCESS_BYTES) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `the class has ${memoryBytes} bytes of memory, a process takes ${LEAST_PROCESS_BYTES} before it opens any model`,
    );
  }
  // The memory of a card is not the process's: the driver tells how much more of the card is in use.
  const cards = kind === "cuda" ? await openCardMemory() : undefined;
  const usedBefore = devices.map(({ ordinal }) => cards?.usedBytes(ordinal) ?? 0);
  const starts = await Promise.allSettled(devices.map((device) => startOn(file, device, deviceClass, environment)));
  const instances = starts.filter((start) => start.status === "fulfilled").map((start) => start.value);
  const close = async () => {
    await Promise.all(instances.map((instance) => instance.close()));
    cards?.close();
  };
  const failed = starts.find((start) => start.status === "rejected");
  if (failed !== undefined) {
    await close();
    throw InferenceError.from(failed.reason);
  }
  const peakBytes =
    cards === undefined
      ? () => highest(instances.flatMap(processBytes))
      : () => highest(devices.map(({ ordinal }, i) => cards.usedBytes(ordinal) - (usedBefore[i] ?? 0)));
  return { instances, peakBytes, close };
}

function startOn(
  { label, ...file }: OpenedFile,
  device: Device,
  { kind, memoryBytes }: DeviceClass,
  { clock, log }: Environment,
): Promise<OnnxInstance> {
  return OnnxInstance.start({
    ...file,
    name: `${label}_${device.id}`,
    settings: {
      ...file.settings,
      intraOpThreads: threadsOf(device),
      device: kind === "cuda" ? `cuda:${device.ordinal}` : "cpu",
    },
    placement: {
      isolation: "process",
      ...(device.cpus === "" ? {} : { cpus: device.cpus }),
      ...(kind === "cpu" ? { memoryLimitBytes: memoryBytes } : {}),
    },
    clock,
    log,
  });
}

/** Bytes of all weights, those in other files included; of weights inside the file their few bytes of description too. */
export async function weightBytes({ modelPath }: MeasuredModel): Promise<number> {
  const { initializers } = await readModel(modelPath);
  return initializers.reduce((sum, { range, externalData, dims, elementType }) => {
    const datatype = fromElementType(elementType);
    const declared = elementCount(dims) * (datatype === undefined ? 1 : ELEMENT_BYTES[datatype]);
    const inside = range === undefined ? declared : range.end - range.start;
    return sum + (externalData === undefined ? inside : (externalData.length ?? declared));
  }, 0);
}

/** As the configuration has them; where the session runs and with how many threads is the device's business. */
export function sessionSettings(config: ModelConfig): SessionSettings {
  const onCpu = config.instance_group.slice(0, 1).map((group) => ({ ...group, kind: "KIND_CPU" as const, count: 1 }));
  const [planned] = planOnnx({ ...config, instance_group: onCpu }, new Map(), availableParallelism()).instances;
  if (planned === undefined) throw new InferenceError("INTERNAL", `model '${config.name}' has no instance group`);
  return planned.settings;
}

/** Most that the process has had in memory, or what its limit counts where that is more. */
function processBytes({ report }: ModelInstance): number[] {
  const memory = report?.pid === undefined ? undefined : readProcessMemory(report.pid);
  return memory === undefined ? [] : [Math.max(memory.peakResidentBytes, memory.dataBytes)];
}

function highest(bytes: readonly number[]): number | undefined {
  return bytes.length === 0 ? undefined : Math.max(...bytes);
}
