/** How many sessions a model gets and how they are opened: from its configuration, as Triton's ONNX backend reads it. */
import { InferenceError } from "../../proto/errors.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { BackendConfig } from "./backend.ts";
import type { SessionSettings } from "./instance-protocol.ts";

export interface OnnxPlacement {
  readonly settings: SessionSettings;
  /** `<group>_<index>`, one session each. */
  readonly instanceNames: readonly string[];
  /** What the configuration asks for and does not get. */
  readonly warnings: readonly string[];
}

/** Config parameters that Triton's backend honours and onnxruntime-node cannot. */
const WITHOUT_EFFECT = ["memory.enable_memory_arena_shrinkage"];

/**
 * Threads are bounded per model: instances x intra-op threads <= cores, instances give way first. A thread that waits
 * does not spin: between small runs spinning costs many times the run's own energy.
 */
export function planOnnx(config: ModelConfig, backendConfig: BackendConfig, coreCount: number): OnnxPlacement {
  const warnings: string[] = [];
  const setting = (key: string): string | undefined =>
    config.parameters[key]?.string_value ??
    backendConfig.get("onnxruntime")?.get(key) ??
    backendConfig.get("")?.get(key);
  const threads = (key: string): number => {
    const asked = toInteger(config, key, setting(key) ?? "1");
    if (asked <= coreCount) return Math.max(1, asked);
    warnings.push(`model '${config.name}': ${key} ${asked} is cut to the ${coreCount} cores of this machine`);
    return coreCount;
  };
  const intraOpThreads = threads("intra_op_thread_count");
  const interOpThreads = threads("inter_op_thread_count");
  for (const key of WITHOUT_EFFECT) {
    if (setting(key) !== undefined) warnings.push(`model '${config.name}': onnxruntime-node has no '${key}'; ignored`);
  }
  const asked = config.instance_group.flatMap((group) =>
    Array.from({ length: Math.max(1, group.count) }, (_, index) => `${group.name}_${index}`),
  );
  const allowed = Math.max(1, Math.floor(coreCount / intraOpThreads));
  if (asked.length > allowed) {
    warnings.push(
      `model '${config.name}': ${asked.length} instances x ${intraOpThreads} intra-op threads are more than the ` +
        `${coreCount} cores of this machine; it gets ${allowed}`,
    );
  }
  const settings: SessionSettings = {
    intraOpThreads,
    interOpThreads,
    executionMode:
      toInteger(config, "execution_mode", setting("execution_mode") ?? "0") === 1 ? "parallel" : "sequential",
    graphOptimizationLevel: optimizationLevel(config),
    enableMemArena: isOn(config, "enable_mem_arena", setting("enable_mem_arena")),
    enableMemPattern: isOn(config, "enable_mem_pattern", setting("enable_mem_pattern")),
    extra: { ...NO_SPINNING, ...sessionParameters(config) },
  };
  return { settings, instanceNames: asked.slice(0, allowed), warnings };
}

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

function toInteger(config: ModelConfig, key: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) {
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
