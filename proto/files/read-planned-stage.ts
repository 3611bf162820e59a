/** Reads the stages of plan.json. */
import { isDataType } from "../datatypes.ts";
import type { JsonField } from "./json-field.ts";
import type { PlannedStage, StageService, StageTensor } from "./plan-file.ts";
import { readFileReference } from "./read-file-reference.ts";

const OPTIMISATION_LEVELS = ["disabled", "basic", "extended", "all"] as const;

/** Throws INVALID_ARGUMENT naming file and field. */
export function readPlannedStage(field: JsonField): PlannedStage {
  field.object([
    "id",
    "model",
    "index",
    "file",
    "cut",
    "inputs",
    "outputs",
    "graphOptimizationLevel",
    "weightBytes",
    "peakBytes",
    "serviceMs",
    "expected",
  ]);
  const file = field.get("file");
  const cut = field.get("cut");
  const expected = field.get("expected").object(["rowsPerSecond", "utilisation", "meanBatch"]);
  return {
    id: field.get("id").string(),
    model: field.get("model").string(),
    index: field.get("index").integer(0),
    file: file.isNull() ? null : readFileReference(file),
    cut: cut.isNull() ? null : readCut(cut),
    inputs: field.get("inputs").items().map(readTensor),
    outputs: field.get("outputs").items().map(readTensor),
    graphOptimizationLevel: field.get("graphOptimizationLevel").oneOf(OPTIMISATION_LEVELS),
    weightBytes: field.get("weightBytes").integer(0),
    peakBytes: field.get("peakBytes").integer(0),
    serviceMs: field.get("serviceMs").items().map(readService),
    expected: {
      rowsPerSecond: expected.get("rowsPerSecond").number(0),
      utilisation: expected.get("utilisation").number(0),
      meanBatch: expected.get("meanBatch").number(0),
    },
  };
}

function readCut(field: JsonField): NonNullable<PlannedStage["cut"]> {
  field.object(["fromNode", "toNode"]);
  const fromNode = field.get("fromNode").integer(0);
  return { fromNode, toNode: field.get("toNode").integer(fromNode) };
}

function readTensor(field: JsonField): StageTensor {
  field.object(["name", "datatype", "shape", "from"]);
  const datatype = field.get("datatype").string();
  if (!isDataType(datatype)) throw field.get("datatype").error(`names no datatype: '${datatype}'`);
  const from = field.get("from").value;
  if (typeof from !== "string") throw field.get("from").error("must be a string");
  return {
    name: field.get("name").string(),
    datatype,
    shape: field
      .get("shape")
      .items()
      .map((dim) => dim.integer(-1)),
    from,
  };
}

function readService(field: JsonField): StageService {
  field.object(["class", "batchSizes", "meanMs"]);
  const batchSizes = field
    .get("batchSizes")
    .items()
    .map((size) => size.integer(1));
  const meanMs = field
    .get("meanMs")
    .items()
    .map((ms) => ms.number(0));
  if (batchSizes.length === 0) throw field.get("batchSizes").error("must hold at least one size");
  if (batchSizes.some((size, i) => i > 0 && size <= (batchSizes[i - 1] ?? 0))) {
    throw field.get("batchSizes").error("must ascend");
  }
  if (meanMs.length !== batchSizes.length) {
    throw field.get("meanMs").error(`must hold one time for each of the ${batchSizes.length} batch sizes`);
  }
  return { class: field.get("class").string(), batchSizes, meanMs };
}
