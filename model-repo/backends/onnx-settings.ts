/**
 * How many sessions a model gets, where they run and how they are opened: from its configuration, as Triton's ONNX
 * backend reads it, with parameters of our own for processes (`isolation`, `cpus`, ...).
 */
import { InferenceError } from "../../proto/errors.ts";
import type { ModelConfig, ModelInstanceGroup } from "../config/model-config.ts";
import type { BackendConfig } from "./backend.ts";
import type { Device, SessionSettings } from "./instance-protocol.ts";
import type { InstancePlacement } from "./onnx-instance.ts";
import { checkLimits, type ProcessLimits } from "./process-command.ts";

/** One session of a model. */
export interface PlannedInstance {
  /** `<group>_<index>`. */
  readonly name: string;
  readonly settings: SessionSettings;
  readonly placement: InstancePlacement;
}

export interface OnnxPlacement {
  readonly instances: readonly PlannedInstance[];
  /** Threads that its runs keep busy at most; GPUs do not count. */
  readonly threadCount: number;
  /** What the configuration asks for and does not get. */
  readonly warnings: readonly string[];
}

/** Config parameters that Triton's backend honours and onnxruntime-node cannot. */
const WITHOUT_EFFECT = ["memory.enable_memory_arena_shrinkage"];

/**
 * Threads are bounded per model: instances x intra-op threads <= cores, instances give way first. A thread that waits
 * does not spin: between small runs spinning costs many times the run's own energy.
 */
export function planOnnx(
  config: ModelConfig,
  backendConfig: BackendConfig,
  coreCount: number,
  gpus: readonly number[] = [],
): OnnxPlacement {
  const setting = settingOf(config, backendConfig);
  const { settings, warnings } = sessionSettings(config, backendConfig, coreCount);
  const { intraOpThreads } = settings;
  const asked = config.instance_group.flatMap((group) =>
    devicesOf(group, gpus).map((device, i) => ({ group, device, i })),
  );
  const onCpu = asked.filter(({ device }) => device === "cpu");
  const allowed = Math.max(1, Math.floor(coreCount / intraOpThreads));
  if (onCpu.length > allowed) {
    warnings.push(
      `model '${config.name}': ${onCpu.length} instances x ${intraOpThreads} intra-op threads are more than the ` +
        `${coreCount} cores of this machine; it gets ${allowed}`,
    );
  }
  const surplus = new Set(onCpu.slice(allowed));
  const instances = asked
    .filter((instance) => !surplus.has(instance))
    .map(({ group, device, i }) => ({
      name: `${group.name}_${i}`,
      settings: { ...settings, device },
      placement: placementOf(config, device, setting),
    }));
  return { instances, threadCount: Math.min(onCpu.length, allowed) * intraOpThreads, warnings };
}

/** How the configuration wants sessions opened, on whatever device, and what of it has no effect. */
export function sessionSettings(
  config: ModelConfig,
  backendConfig: BackendConfig,
  coreCount: number,
): { readonly settings: SessionSettings; readonly warnings: string[] } {
  const warnings: string[] = [];
  const setting = settingOf(config, backendConfig);
  const threads = (key: string): number => {
    const asked = toInteger(config, key, setting(key) ?? "1");
    if (asked <= coreCount) return Math.max(1, asked);
    warnings.push(`model '${config.name}': ${key} ${asked} is cut to the ${coreCount} cores of this machine`);
    return coreCount;
  };
  const settings: SessionSettings = {
    intraOpThreads: threads("intra_op_thread_count"),
    interOpThreads: threads("inter_op_thread_count"),
    executionMode:
      toInteger(config, "execution_mode", setting("execution_mode") ?? "0") === 1 ? "parallel" : "sequential",
    graphOptimizationLevel: optimizationLevel(config),
    enableMemArena: isOn(config, "enable_mem_arena", setting("enable_mem_arena")),
    enableMemPattern: isOn(config, "enable_mem_pattern", setting("enable_mem_pattern")),
    extra: { ...NO_SPINNING, ...sessionParameters(config) },
  };
  for (const key of WITHOUT_EFFECT) {
    if (setting(key) !== undefined) warnings.push(`model '${config.name}': onnxruntime-node has no '${key}'; ignored`);
  }
  return { settings, warnings };
}

/** A setting of the model, else of the backend, else of all backends. */
function settingOf(config: ModelConfig, backendConfig: BackendConfig): (key: string) => string | undefined {
  return (key) =>
    config.parameters[key]?.string_value ??
    backendConfig.get("onnxruntime")?.get(key) ??
    backendConfig.get("")?.get(key);
}

/** One device for each instance of a group; a group of GPUs has its instances on each of them. */
function devicesOf(group: ModelInstanceGroup, gpus: readonly number[]): readonly Device[] {
  const chosen = group.gpus.length > 0 ? group.gpus : gpus;
  const devices: readonly Device[] = group.kind === "KIND_GPU" ? chosen.map((gpu) => `cuda:${gpu}` as const) : ["cpu"];
  return devices.flatMap((device) => Array.from({ length: Math.max(1, group.count) }, () => device));
}

/** A GPU's driver and native crashes are kept out of the server: its instances are processes unless told otherwise. */
function placementOf(
  config: ModelConfig,
  device: Device,
  setting: (key: string) => string | undefined,
): InstancePlacement {
  const isolation = setting("isolation") ?? (device === "cpu" ? "thread" : "process");
  const number = (key: string): number | undefined => {
    const text = setting(key);
    return text === undefined ? undefined : toInteger(config, key, text, MOST_DIGITS);
  };
  const limits = {
    cpus: setting("cpus"),
    memoryLimitBytes: number("memory_limit_bytes"),
    runLimitMs: number("run_time_limit_ms"),
  };
  if (isolation === "process") {
    checkProcess(config, limits);
    return { isolation, ...limits };
  }
  if (isolation !== "thread") {
    const text = `parameter 'isolation' is '${isolation}', expected 'thread' or 'process'`;
    throw new InferenceError("INVALID_ARGUMENT", `model '${config.name}': ${text}`);
  }
  const limited = PROCESS_PARAMETERS.find((key) => config.parameters[key] !== undefined);
  if (limited !== undefined) {
    const text = `parameter '${limited}' needs a process: add parameter 'isolation' with the value 'process'`;
    throw new InferenceError("INVALID_ARGUMENT", `model '${config.name}': ${text}`);
  }
  return { isolation };
}

/** Limits that hold nowhere are found without starting a process. */
function checkProcess(config: ModelConfig, limits: ProcessLimits): void {
  try {
    checkLimits(limits);
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    throw new InferenceError(code, `model '${config.name}': ${message}`);
  }
}

const PROCESS_PARAMETERS = ["cpus", "memory_limit_bytes", "run_time_limit_ms"];

/** Digits of the largest integer that a number holds. */
const MOST_DIGITS = 15;

const NO_SPINNING = { "session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0" };

/** `parameters` whose key starts with `session.` go to the runtime as they are. */
function sessionParameters(config: ModelConfig): Record<string, string> {
  const entries = Object.entries(config.parameters).filter(([key]) => key.startsWith("session."));
  return Object.fromEntries(entries.map(([key, parameter]) => [key, parameter.string_value]));
}

/** Triton's numbers: -1 basic, 1 extended, 2 off; everything else is all. */
function optimizationLevel(config: ModelConfig): SessionSettings["graphOptimizationLevel"] {
  switch (config.optimization?.graph?.level) {
    case -1:
      return "basic";
    case 1:
      return "extended";
    case 2:
      return "disabled";
    default:
      return "all";
  }
}

function toInteger(config: ModelConfig, key: string, text: string, digits = 9): number {
  if (!/^\d+$/.test(text) || text.length > digits) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `model '${config.name}': parameter '${key}' is '${text}', expected an integer that is not negative`,
    );
  }
  return Number(text);
}

/** `1` / `0` or `true` / `false`; on by default, as in onnxruntime. */
function isOn(config: ModelConfig, key: string, text: string | undefined): boolean {
  if (text === undefined || text === "1" || text.toLowerCase() === "true") return true;
  if (text === "0" || text.toLowerCase() === "false") return false;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${config.name}': parameter '${key}' is '${text}', expected 0 or 1`,
  );
}
