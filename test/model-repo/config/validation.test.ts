import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkConfig } from "../../../model-repo/config/validate-config.ts";
import { checkInstanceGroups } from "../../../model-repo/config/validate-instances.ts";
import { checkIo } from "../../../model-repo/config/validate-io.ts";
import { readConfig } from "../../support/model-configs.ts";

/** Everything that is wrong with a configuration of model M. */
function problemsOf(text: string): { readonly text: string; readonly line: number | undefined }[] {
  const { config, lineOf } = readConfig(text);
  const problems = [...checkConfig(config, "M"), ...checkIo(config), ...checkInstanceGroups(config)];
  return problems.map((found) => ({ text: found.text, line: lineOf(found.path) }));
}

const ONNX = 'backend: "onnxruntime"\n';
const IO = (fields: string) => `${ONNX}max_batch_size: 4\ninput {\n name: "X"\n ${fields} }`;
const DYNAMIC = (fields: string) => `${ONNX}max_batch_size: 8\ndynamic_batching {\n ${fields} }`;
const SEQUENCE = (fields: string) => `${ONNX}max_batch_size: 8\nsequence_batching {\n ${fields} }`;
const CONTROL = (kind: string, fields: string, name = "C") =>
  `control_input { name: "${name}" control { kind: CONTROL_SEQUENCE_${kind} ${fields} } }`;
const STEP = 'step { model_name: "A" input_map { key: "a" value: "b" } output_map { key: "c" value: "d" } }';
const GROUP = (fields: string) => `${ONNX}instance_group {\n name: "G" ${fields} }`;

/** [configuration, line of the problem, text]. */
const FIRST_PROBLEM: readonly (readonly [string, number | undefined, string])[] = [
  // Names, platform, backend.
  [`${ONNX}name: "N"`, 2, "unexpected directory name 'M' for model 'N', directory name must equal model name"],
  ['platform: "caffe"', 1, "unexpected platform type 'caffe' for M"],
  [`${ONNX}platform: "tensorrt_plan"`, 2, "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime"],
  [
    "max_batch_size: 1",
    undefined,
    "Invalid model name: Could not determine backend for model 'M' with no backend in model configuration. Expected model " +
      "name of the form 'model.<backend_name>'.",
  ],
  [`${ONNX}max_batch_size: -1`, 2, "'max_batch_size' must be non-negative value for M"],
  [`${ONNX}version_policy { latest { } }`, 2, "'version_policy' must keep at least one version for M"],
  [
    `${ONNX}version_policy { specific { versions: [ 2, 0 ] } }`,
    2,
    "'version_policy' names version 0 for M; versions are integers > 0",
  ],
  [
    `${ONNX}default_model_filename: "../model.onnx"`,
    2,
    "'default_model_filename' must be a plain file name for M, got '../model.onnx'",
  ],
  // Inputs and outputs.
  [`${ONNX}input { dims: 1 }`, 2, "model input must specify 'name' for M"],
  [IO("dims: 1"), 3, "model input 'X' must specify 'data_type' for M"],
  [IO("data_type: TYPE_FP32"), 3, "model input 'X' must specify 'dims' for M"],
  [
    IO("data_type: TYPE_FP32 dims: [ 1,\n 0 ]"),
    6,
    "model input 'X' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for M",
  ],
  [
    IO("data_type: TYPE_FP32 dims: [ -2 ]"),
    5,
    "model input 'X' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for M",
  ],
  [`${ONNX}output { name: "Y" data_type: TYPE_FP32 }`, 2, "model output 'Y' must specify 'dims' for M"],
  [IO("data_type: TYPE_FP32 dims: 4 format: FORMAT_NCHW"), 5, "model input NHWC/NCHW require 3 dims for M"],
  [
    IO("data_type: TYPE_FP32 dims: 4\n is_shape_tensor: true"),
    6,
    "shape tensors are only supported for TensorRT platform for M",
  ],
  [
    IO("data_type: TYPE_FP32 dims: 4 is_non_linear_format_io: true"),
    5,
    "model input 'X' uses a non-linear IO format, which is only supported for TensorRT platform for M",
  ],
  [
    `${ONNX}input [ { name: "X" data_type: TYPE_FP32 dims: 1 },\n { name: "X" data_type: TYPE_FP32 dims: 1 } ]`,
    3,
    "model input 'X' is listed more than once for M",
  ],
  // Reshape.
  [
    IO("data_type: TYPE_FP32 dims: [ 4, 2 ]\n reshape { shape: [ 4, 3 ] }"),
    6,
    "model input 'X' has different size for dims and reshape for M",
  ],
  [IO("data_type: TYPE_FP32 dims: 2 reshape { }"), 5, "model input 'X' has different size for dims and reshape for M"],
  [
    IO("data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ -1, -1 ] }"),
    5,
    "model input 'X' has different number of variable-size dimensions for dims and reshape for M",
  ],
  [
    IO("data_type: TYPE_FP32 dims: [ 2, -1, 4 ] reshape { shape: [ 4, -1, 2 ] }"),
    5,
    "model input 'X' has different size for dims and reshape for M",
  ],
  [
    IO("data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ 4 ] }"),
    5,
    "model input 'X' has different size for dims and reshape for M",
  ],
  [
    IO("data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 4, 0 ] }"),
    5,
    "model input 'X' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension for M",
  ],
  [
    `${ONNX}input { name: "X" data_type: TYPE_FP32 dims: 1 reshape { } }`,
    2,
    "model input 'X' cannot have empty reshape for non-batching model as scalar tensors are not supported for M",
  ],
  // Batch inputs and outputs.
  [
    `${ONNX}batch_input { kind: BATCH_ELEMENT_COUNT data_type: TYPE_INT32 }`,
    2,
    "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0 for M",
  ],
  [
    `${ONNX}batch_input { kind: BATCH_ITEM_SHAPE data_type: TYPE_INT64 source_input: "X" }`,
    2,
    "batch input data type must be TYPE_INT32 or TYPE_FP32 for M",
  ],
  [
    `${ONNX}batch_input { kind: BATCH_ITEM_SHAPE data_type: TYPE_FP32\n source_input: "X" }`,
    3,
    "unknown source input name 'X' for M",
  ],
  [
    `${ONNX}batch_output { source_input: [ "a", "b" ] }`,
    2,
    "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 2 for M",
  ],
  [
    `${ONNX}input { name: "X" data_type: TYPE_FP32 dims: 1 }\nbatch_output { source_input: "X"\n target_name: "Y" }`,
    4,
    "unknown target output name 'Y' for M",
  ],
  [
    `${ONNX}input { name: "X" data_type: TYPE_FP32 dims: 1 }\noutput { name: "Y" data_type: TYPE_FP32 dims: 1 }\n` +
      'batch_output { source_input: "X" target_name: [ "Y",\n "Y" ] }',
    5,
    "target output name 'Y' can only be specified once for M",
  ],
  // Dynamic batching.
  [DYNAMIC("preferred_batch_size: [ 4,\n 0 ]"), 5, "dynamic batching preferred size must be positive for M"],
  [DYNAMIC("preferred_batch_size: [ 9 ]"), 4, "dynamic batching preferred size must be <= max batch size for M"],
  [
    `${ONNX}dynamic_batching { preferred_batch_size: 1 }`,
    2,
    "dynamic batching preferred size must be <= max batch size for M",
  ],
  [DYNAMIC("priority_levels: 3"), 4, "default priority level must be in range [1, 3] for M"],
  [
    DYNAMIC("priority_levels: 3\n default_priority_level: 4"),
    5,
    "default priority level must be in range [1, 3] for M",
  ],
  [
    DYNAMIC("priority_levels: 3 default_priority_level: 1\n priority_queue_policy { key: 4 value { } }"),
    5,
    "priority queue policy must have priority level in range [1, 3] for M",
  ],
  [
    DYNAMIC("priority_levels: 2 default_priority_level: 1\n preserve_ordering: true"),
    5,
    "Only one priority level is allowed when 'preserve_ordering' is true for M",
  ],
  [
    DYNAMIC(
      "preserve_ordering: true\n default_queue_policy { default_timeout_microseconds: 1\n timeout_action: DELAY }",
    ),
    6,
    "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for M",
  ],
  [
    DYNAMIC(
      "preserve_ordering: true priority_levels: 1 default_priority_level: 1\n priority_queue_policy { key: 1 value { " +
        "default_timeout_microseconds: 1 timeout_action: DELAY } }",
    ),
    5,
    "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for M",
  ],
  // Sequence batching.
  [
    SEQUENCE("} response_cache { enable: true"),
    4,
    "Response Cache does not currently support model M with sequence batching scheduler. Please disable the response cache.",
  ],
  [SEQUENCE("control_input { }"), 4, "sequence batching control tensor must have a name for M"],
  [
    SEQUENCE(`${CONTROL("START", "int32_false_true: [ 0, 1 ]")}\n ${CONTROL("READY", "int32_false_true: [ 0, 1 ]")}`),
    5,
    "sequence batching control tensor 'C' is specified for multiple control kinds for M",
  ],
  [
    SEQUENCE(
      `${CONTROL("START", "int32_false_true: [ 0, 1 ]")}\n ${CONTROL("START", "int32_false_true: [ 0, 1 ]", "D")}`,
    ),
    5,
    "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for M",
  ],
  [
    SEQUENCE(CONTROL("READY", "")),
    4,
    "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for " +
      "CONTROL_SEQUENCE_READY for M",
  ],
  [
    SEQUENCE(CONTROL("END", "int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]")),
    4,
    "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' for " +
      "CONTROL_SEQUENCE_END for M",
  ],
  [
    SEQUENCE(CONTROL("END", "bool_false_true: [ true ]")),
    4,
    "sequence batching control 'bool_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_END for M",
  ],
  [
    SEQUENCE(CONTROL("CORRID", "data_type: TYPE_FP32")),
    4,
    "unexpected data type for control CONTROL_SEQUENCE_CORRID for M. Allowed data types are TYPE_UINT64, TYPE_INT64, " +
      "TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
  ],
  [
    SEQUENCE(CONTROL("CORRID", "data_type: TYPE_UINT64 int32_false_true: [ 0, 1 ]")),
    4,
    "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for " +
      "CONTROL_SEQUENCE_CORRID for M",
  ],
  [SEQUENCE("oldest { preferred_batch_size: 0 }"), 4, "sequence batching preferred batch size must be positive for M"],
  [
    SEQUENCE("oldest { preferred_batch_size: 9 }"),
    4,
    "sequence batching preferred batch size must be <= max batch size for M",
  ],
  [
    SEQUENCE("direct { minimum_slot_utilization: 1.5 }"),
    4,
    "sequence batching minimum slot utilization must be in range (0.0, 1.0] for M",
  ],
  [
    `${ONNX}model_transaction_policy { decoupled: true }\nresponse_cache { enable: true }`,
    3,
    "Response Cache does not currently support model M with 'decoupled' transaction policy. Please disable the response " +
      "cache.",
  ],
  // Ensembles.
  ['platform: "ensemble"', 1, "ensemble scheduling must be set for ensemble M whose platform is ensemble"],
  [
    `${ONNX}ensemble_scheduling { ${STEP} }`,
    2,
    "ensemble scheduling cannot be set for model 'M' whose platform is not ensemble",
  ],
  [
    `platform: "ensemble" backend: "onnxruntime"\nensemble_scheduling { ${STEP} }`,
    1,
    "Ensemble model 'M' must have platform type 'ensemble' and empty backend type",
  ],
  ['platform: "ensemble"\nensemble_scheduling { }', 2, "must specify 'step' for ensemble 'M'"],
  [
    `platform: "ensemble"\nensemble_scheduling {\n ${STEP}\n step { } }`,
    4,
    "must specify 'model_name' in step 1 of ensemble 'M'",
  ],
  [
    `platform: "ensemble"\nensemble_scheduling { step { model_name: "A" } }`,
    2,
    "must specify 'input_map' in step 0 of ensemble 'M'",
  ],
  [
    `platform: "ensemble"\nensemble_scheduling { ${STEP} }\ninstance_group { }`,
    3,
    "instance group should not be specified for ensemble 'M'",
  ],
  [
    `platform: "ensemble"\nensemble_scheduling { ${STEP} }\noptimization { }`,
    3,
    "optimization should not be specified for ensemble 'M'",
  ],
  [
    `platform: "ensemble"\nensemble_scheduling { ${STEP} }\nmodel_warmup { }`,
    3,
    "model_warmup can not be specified for ensemble 'M'",
  ],
  // Instance groups.
  [
    GROUP("kind: KIND_CPU\n gpus: 0"),
    4,
    "instance group G of model M has kind KIND_CPU but specifies one or more GPUs",
  ],
  [GROUP("kind: KIND_GPU"), 3, "instance group G of model M has kind KIND_GPU but no GPUs are available"],
  [
    GROUP("kind: KIND_GPU\n gpus: 42"),
    4,
    "instance group G of model M specifies invalid or unsupported gpu id 42. GPUs with at least the minimum required CUDA " +
      "compute compatibility of 6.000000 are: ",
  ],
  [
    GROUP('kind: KIND_CPU\n profile: "1"'),
    4,
    "instance group G of model M specifies profile field which is only supported for TensorRT models",
  ],
  [GROUP("count: 1000000"), 2, "model M asks for 1000000 instances; at most 1024 are possible"],
];

describe("configuration checks", () => {
  for (const [config, line, text] of FIRST_PROBLEM) {
    it(`says: ${text}`, () => {
      const [first] = problemsOf(config);
      assert.deepEqual(first, { text, line });
    });
  }

  it("take what Triton takes", () => {
    const sound = [
      ONNX,
      'platform: "onnxruntime_onnx"',
      'default_model_filename: "model.onnx"',
      DYNAMIC("preserve_ordering: true default_queue_policy { timeout_action: DELAY }"),
      DYNAMIC("preferred_batch_size: [ 8, 1 ] priority_levels: 2 default_priority_level: 2"),
      SEQUENCE(`direct { } ${CONTROL("START", "fp32_false_true: [ 0, 1 ]")}`),
      SEQUENCE("oldest { max_candidate_sequences: 4 }"),
      IO("data_type: TYPE_FP32 dims: [ 2, -1, 6 ] reshape { shape: [ 1, 2, -1, 3, 2 ] }"),
      IO("data_type: TYPE_STRING dims: 1 reshape { }"),
      `platform: "ensemble" ensemble_scheduling { ${STEP} }`,
      'backend: "tensorflow" platform: "tensorflow_graphdef"',
      'backend: "identity" instance_group { kind: KIND_MODEL count: 3 }',
    ];
    for (const config of sound) assert.deepEqual(problemsOf(config), [], config);
  });

  it("find everything that is wrong, not only the first", () => {
    const found = problemsOf(`${ONNX}max_batch_size: -1\ninput { name: "X" }\ninstance_group { kind: KIND_GPU }`);
    assert.equal(found.length, 4);
  });
});
