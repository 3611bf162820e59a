/**
 * A model's configuration as a plain object, in the field names of `model_config.proto` and acceptable to protobufjs'
 * fromObject: enums by name, 64-bit integers as numbers. A normalised configuration (see `normalise.ts`) has every
 * default filled in as Triton's ModelConfig RPC shows it.
 */
import type { ConfigDataType } from "../../proto/datatypes.ts";

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly runtime: string;
  readonly version_policy: ModelVersionPolicy;
  /** 0: the model does not batch and its dims are whole shapes. */
  readonly max_batch_size: number;
  readonly input: readonly ModelInput[];
  readonly output: readonly ModelOutput[];
  readonly batch_input: readonly BatchInput[];
  readonly batch_output: readonly BatchOutput[];
  readonly optimization?: ModelOptimizationPolicy;
  /** At most one of the three schedulers; none: one request an execution. */
  readonly dynamic_batching?: ModelDynamicBatching;
  readonly sequence_batching?: ModelSequenceBatching;
  readonly ensemble_scheduling?: ModelEnsembling;
  readonly instance_group: readonly ModelInstanceGroup[];
  readonly default_model_filename: string;
  readonly cc_model_filenames: Readonly<Record<string, string>>;
  readonly metric_tags: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, ModelParameter>>;
  readonly model_warmup: readonly ModelWarmup[];
  readonly model_operations?: { readonly op_library_filename: readonly string[] };
  readonly model_transaction_policy?: { readonly decoupled: boolean };
  readonly model_repository_agents?: { readonly agents: readonly NamedParameters[] };
  readonly response_cache?: { readonly enable: boolean };
  readonly model_metrics?: { readonly metric_control: readonly MetricControl[] };
}

/** Exactly one field is set once normalised. */
export interface ModelVersionPolicy {
  readonly latest?: { readonly num_versions: number };
  readonly all?: Readonly<Record<string, never>>;
  readonly specific?: { readonly versions: readonly number[] };
}

/** `TYPE_INVALID` is what protobuf reads where `data_type` is missing; validation refuses it. */
export type ModelDataType = ConfigDataType | "TYPE_INVALID";

export interface ModelInput {
  readonly name: string;
  readonly data_type: ModelDataType;
  readonly format: "FORMAT_NONE" | "FORMAT_NHWC" | "FORMAT_NCHW";
  /** Without the batch dimension where the model batches; -1 is any size. */
  readonly dims: readonly number[];
  readonly reshape?: ModelTensorReshape;
  readonly is_shape_tensor: boolean;
  readonly allow_ragged_batch: boolean;
  readonly optional: boolean;
  readonly is_non_linear_format_io: boolean;
}

export interface ModelOutput {
  readonly name: string;
  readonly data_type: ModelDataType;
  readonly dims: readonly number[];
  readonly reshape?: ModelTensorReshape;
  /** Relative to the model's directory; "": no labels. */
  readonly label_filename: string;
  readonly is_shape_tensor: boolean;
  readonly is_non_linear_format_io: boolean;
}

/** The shape the backend sees instead of `dims`. */
export interface ModelTensorReshape {
  readonly shape: readonly number[];
}

export interface BatchInput {
  readonly kind: string;
  readonly target_name: readonly string[];
  readonly data_type: ModelDataType;
  readonly source_input: readonly string[];
}

export interface BatchOutput {
  readonly kind: string;
  readonly target_name: readonly string[];
  readonly source_input: readonly string[];
}

export interface ModelInstanceGroup {
  readonly name: string;
  readonly kind: "KIND_AUTO" | "KIND_GPU" | "KIND_CPU" | "KIND_MODEL";
  readonly count: number;
  readonly gpus: readonly number[];
  readonly secondary_devices: readonly { readonly kind: string; readonly device_id: number }[];
  readonly profile: readonly string[];
  readonly passive: boolean;
  readonly host_policy: string;
  readonly rate_limiter?: ModelRateLimiter;
}

export interface ModelRateLimiter {
  readonly resources: readonly { readonly name: string; readonly global: boolean; readonly count: number }[];
  readonly priority: number;
}

export interface ModelDynamicBatching {
  /** `[max_batch_size]` once normalised, where none is given. */
  readonly preferred_batch_size: readonly number[];
  readonly max_queue_delay_microseconds: number;
  readonly preserve_ordering: boolean;
  /** 0: no priorities. */
  readonly priority_levels: number;
  readonly default_priority_level: number;
  readonly default_queue_policy?: ModelQueuePolicy;
  /** Keys are the levels as decimal text. */
  readonly priority_queue_policy: Readonly<Record<string, ModelQueuePolicy>>;
}

export interface ModelQueuePolicy {
  readonly timeout_action: "REJECT" | "DELAY";
  /** 0: no timeout. */
  readonly default_timeout_microseconds: number;
  readonly allow_timeout_override: boolean;
  /** 0: no bound of the model's own. */
  readonly max_queue_size: number;
}

export interface ModelSequenceBatching {
  readonly direct?: {
    readonly max_queue_delay_microseconds: number;
    readonly minimum_slot_utilization: number;
  };
  readonly oldest?: {
    readonly max_candidate_sequences: number;
    readonly preferred_batch_size: readonly number[];
    readonly max_queue_delay_microseconds: number;
    readonly preserve_ordering: boolean;
  };
  readonly max_sequence_idle_microseconds: number;
  readonly control_input: readonly SequenceControlInput[];
  readonly state: readonly SequenceState[];
  readonly iterative_sequence: boolean;
}

export interface SequenceControlInput {
  readonly name: string;
  readonly control: readonly SequenceControl[];
}

export interface SequenceControl {
  readonly kind:
    | "CONTROL_SEQUENCE_START"
    | "CONTROL_SEQUENCE_READY"
    | "CONTROL_SEQUENCE_END"
    | "CONTROL_SEQUENCE_CORRID";
  readonly int32_false_true: readonly number[];
  readonly fp32_false_true: readonly number[];
  readonly bool_false_true: readonly boolean[];
  readonly data_type: ModelDataType;
}

export interface SequenceState {
  readonly input_name: string;
  readonly output_name: string;
  readonly data_type: ModelDataType;
  readonly dims: readonly number[];
  readonly initial_state: readonly {
    readonly name: string;
    readonly data_type: ModelDataType;
    readonly dims: readonly number[];
    readonly zero_data?: boolean;
    readonly data_file?: string;
  }[];
  readonly use_same_buffer_for_input_output: boolean;
  readonly use_growable_memory: boolean;
}

export interface ModelEnsembling {
  readonly step: readonly EnsembleStep[];
  readonly max_inflight_requests: number;
}

export interface EnsembleStep {
  readonly model_name: string;
  readonly model_version: number;
  readonly input_map: Readonly<Record<string, string>>;
  readonly output_map: Readonly<Record<string, string>>;
  readonly model_namespace: string;
}

export interface ModelOptimizationPolicy {
  /** -1 basic, 0 all, 1 extended, 2 disabled (Triton's ONNX mapping). */
  readonly graph?: { readonly level: number };
  readonly priority: string;
  readonly cuda?: Readonly<Record<string, unknown>>;
  readonly execution_accelerators?: {
    readonly gpu_execution_accelerator: readonly NamedParameters[];
    readonly cpu_execution_accelerator: readonly NamedParameters[];
  };
  readonly input_pinned_memory?: { readonly enable: boolean };
  readonly output_pinned_memory?: { readonly enable: boolean };
  readonly gather_kernel_buffer_threshold: number;
  readonly eager_batching: boolean;
}

export interface NamedParameters {
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface ModelParameter {
  readonly string_value: string;
}

export interface ModelWarmup {
  readonly name: string;
  readonly batch_size: number;
  readonly inputs: Readonly<Record<string, WarmupInput>>;
  readonly count: number;
}

export interface WarmupInput {
  readonly data_type: ModelDataType;
  readonly dims: readonly number[];
  readonly zero_data?: boolean;
  readonly random_data?: boolean;
  readonly input_data_file?: string;
}

export interface MetricControl {
  readonly metric_identifier?: { readonly family: string };
  readonly histogram_options?: { readonly buckets: readonly number[] };
}
