/** A small normalised model configuration. */
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";

/** One FP32 input and output of any length, batched up to 8. */
export function normalModelConfig(name: string): ModelConfig {
  const tensor = {
    data_type: "TYPE_FP32",
    dims: [-1],
    is_shape_tensor: false,
    is_non_linear_format_io: false,
  } as const;
  return {
    name,
    platform: "",
    backend: "identity",
    runtime: "",
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: 8,
    input: [{ ...tensor, name: "INPUT0", format: "FORMAT_NONE", allow_ragged_batch: false, optional: false }],
    output: [{ ...tensor, name: "OUTPUT0", label_filename: "" }],
    batch_input: [],
    batch_output: [],
    instance_group: [],
    default_model_filename: "",
    cc_model_filenames: {},
    metric_tags: { team: "vision" },
    parameters: {},
    model_warmup: [],
  };
}
