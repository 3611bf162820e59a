/** Fills in what a configuration leaves out, as Triton's ModelConfig RPC shows it. Pure. */
import type { ModelConfig, ModelInstanceGroup } from "./model-config.ts";

/** What the version directories hold, as far as it tells the backend. */
export interface BackendClues {
  readonly directoryName: string;
  /** Names in the newest version directory; empty without one. */
  readonly versionFiles: ReadonlySet<string>;
}

interface BackendFiles {
  readonly backend: string;
  readonly platform: string;
  readonly file: string;
}

/** In Triton's order: platform or file name tell the backend, the backend tells the rest. */
const KNOWN_BACKENDS: readonly BackendFiles[] = [
  { backend: "tensorflow", platform: "tensorflow_savedmodel", file: "model.savedmodel" },
  { backend: "tensorflow", platform: "tensorflow_graphdef", file: "model.graphdef" },
  { backend: "tensorrt", platform: "tensorrt_plan", file: "model.plan" },
  { backend: "onnxruntime", platform: "onnxruntime_onnx", file: "model.onnx" },
  { backend: "openvino", platform: "", file: "model.xml" },
  { backend: "pytorch", platform: "pytorch_libtorch", file: "model.pt" },
  { backend: "python", platform: "", file: "model.py" },
  { backend: "cascade", platform: "", file: "cascade.json" },
];

/** Completes name, backend, platform and default_model_filename; the backend stays "" where nothing tells it. */
export function completeBackend(config: ModelConfig, clues: BackendClues): ModelConfig {
  const name = config.name === "" ? clues.directoryName : config.name;
  const known = KNOWN_BACKENDS.find((entry) => tellsBackend(entry, config, clues));
  if (known === undefined) return { ...config, name, ...namedBackend(config, name) };
  return {
    ...config,
    name,
    backend: known.backend,
    platform: config.platform === "" ? known.platform : config.platform,
    default_model_filename: config.default_model_filename === "" ? known.file : config.default_model_filename,
  };
}

function tellsBackend(entry: BackendFiles, config: ModelConfig, clues: BackendClues): boolean {
  const { backend, platform, default_model_filename: file } = config;
  if (backend !== "") {
    // A backend with several platforms is told apart by the platform or the file.
    return (
      backend === entry.backend && (backend !== "tensorflow" || entry.platform === platform || entry.file === file)
    );
  }
  if (platform !== "") return platform === entry.platform;
  return file === "" ? clues.versionFiles.has(entry.file) : file === entry.file;
}

/** `model.<backend>` names its backend where nothing else does. */
function namedBackend(config: ModelConfig, name: string): Partial<ModelConfig> {
  if (config.backend !== "" || config.platform !== "" || config.default_model_filename !== "") return {};
  const backend = name.includes(".") ? name.slice(name.indexOf(".") + 1) : "";
  return backend === "" ? {} : { backend, default_model_filename: `model.${backend}` };
}

/** Defaults that do not depend on the model file: version policy, preferred sizes, idle time, pinned memory. */
export function normalise(config: ModelConfig): ModelConfig {
  const { dynamic_batching: dynamic, sequence_batching: sequence, optimization } = config;
  const { latest, all, specific } = config.version_policy ?? {};
  const hasPolicy = latest !== undefined || all !== undefined || specific !== undefined;
  return {
    ...config,
    version_policy: hasPolicy ? config.version_policy : { latest: { num_versions: 1 } },
    ...(dynamic === undefined
      ? {}
      : {
          dynamic_batching: {
            ...dynamic,
            preferred_batch_size: preferredSizes(dynamic.preferred_batch_size, config.max_batch_size),
          },
        }),
    ...(sequence === undefined
      ? {}
      : {
          sequence_batching: {
            ...sequence,
            max_sequence_idle_microseconds: sequence.max_sequence_idle_microseconds || SEQUENCE_IDLE_DEFAULT_US,
            ...(sequence.oldest === undefined
              ? {}
              : {
                  oldest: {
                    ...sequence.oldest,
                    preferred_batch_size: preferredSizes(sequence.oldest.preferred_batch_size, config.max_batch_size),
                  },
                }),
          },
        }),
    // Whether memory is pinned means nothing on a CPU, but clients read the flags.
    ...(config.ensemble_scheduling !== undefined || config.platform === "ensemble"
      ? {}
      : {
          optimization: {
            ...(optimization ?? {
              priority: "PRIORITY_DEFAULT",
              gather_kernel_buffer_threshold: 0,
              eager_batching: false,
            }),
            input_pinned_memory: optimization?.input_pinned_memory ?? { enable: true },
            output_pinned_memory: optimization?.output_pinned_memory ?? { enable: true },
          },
        }),
  };
}

const SEQUENCE_IDLE_DEFAULT_US = 1_000_000;

function preferredSizes(given: readonly number[], maxBatchSize: number): readonly number[] {
  return given.length > 0 || maxBatchSize <= 0 ? given : [maxBatchSize];
}

/**
 * Instance groups with name, kind and count. Triton gives an onnxruntime model on a CPU two instances; here it gets one
 * of one thread, because a cascade serves many models on the same cores and idle threads only cost memory.
 */
export function normaliseInstanceGroups(config: ModelConfig): ModelConfig {
  if (config.ensemble_scheduling !== undefined || config.platform === "ensemble") return config;
  const groups: readonly ModelInstanceGroup[] =
    config.instance_group.length > 0 ? config.instance_group : [{ ...EMPTY_GROUP, name: config.name }];
  return {
    ...config,
    instance_group: groups.map((group, i) => ({
      ...group,
      name: group.name === "" ? `${config.name}_${i}` : group.name,
      kind: group.kind === "KIND_AUTO" ? "KIND_CPU" : group.kind,
      count: Math.max(1, group.count),
    })),
  };
}

const EMPTY_GROUP: ModelInstanceGroup = {
  name: "",
  kind: "KIND_CPU",
  count: 1,
  gpus: [],
  secondary_devices: [],
  profile: [],
  passive: false,
  host_policy: "",
};
