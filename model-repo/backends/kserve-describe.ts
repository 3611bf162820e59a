/** Writes the configuration of a `kserve` model from what the server that has it says. */
import { credentials, status } from "@grpc/grpc-js";
import { isDataType, toConfigDataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import { readConfigOverride } from "../config/read-config.ts";
import { KserveEndpoint, loadKserveRpcs } from "./kserve-endpoint.ts";
import { RemoteCallError, toInferenceError } from "./kserve-error.ts";
import { newestVersion, type RemoteConfig, type RemoteMetadata, type RemoteTensor } from "./kserve-metadata.ts";
import { readKserveSettings } from "./kserve-settings.ts";
import { PROBE_TIMEOUT_MS } from "./kserve-target.ts";

/** A batch for servers that take batches and do not say how large: small enough for nearly all. */
const CAUTIOUS_BATCH_SIZE = 8;

export interface DescribedModel {
  /** That answers there now; "1" where the server names none. */
  readonly version: string;
  /** config.pbtxt of a `kserve` model of the same name. */
  readonly configText: string;
}

/**
 * Asks `target` (host:port, plain text) for the model. Rejects with the server's code and text, UNAVAILABLE where it does
 * not answer, INVALID_ARGUMENT for a target that is none or a model that cannot be a `kserve` model.
 */
export async function describeRemoteModel(target: string, model: string): Promise<DescribedModel> {
  const parameters = { target: { string_value: target }, model: { string_value: model } };
  const { config } = readConfigOverride(JSON.stringify({ name: model, parameters }));
  const settings = readKserveSettings(config);
  const [first = target] = settings.targets;
  const endpoint = new KserveEndpoint(first, settings, credentials.createInsecure(), loadKserveRpcs());
  try {
    const metadata = await endpoint.modelMetadata(PROBE_TIMEOUT_MS);
    const remoteConfig = await configOf(endpoint);
    const version = newestVersion(metadata);
    return {
      version: version === "" ? "1" : version,
      configText: remoteConfigText(target, model, version, metadata, remoteConfig),
    };
  } catch (error) {
    throw toInferenceError(model, first, error);
  } finally {
    endpoint.close();
  }
}

/** undefined: the server has no ModelConfig, which only Triton's extension of the protocol knows. */
async function configOf(endpoint: KserveEndpoint): Promise<RemoteConfig | undefined> {
  try {
    return (await endpoint.modelConfig(PROBE_TIMEOUT_MS)).config;
  } catch (error) {
    if (error instanceof RemoteCallError && error.status === status.UNIMPLEMENTED) return undefined;
    throw error;
  }
}

/** Pure. `version` "" leaves the choice to the server; inputs that are optional there are left out. */
export function remoteConfigText(
  target: string,
  model: string,
  version: string,
  metadata: RemoteMetadata,
  remoteConfig: RemoteConfig | undefined,
): string {
  const optional = new Set(remoteConfig?.input.filter((input) => input.optional).map((input) => input.name));
  const inputs = metadata.inputs.filter((input) => !optional.has(input.name));
  const maxBatchSize = remoteConfig?.max_batch_size ?? guessedBatchSize([...inputs, ...metadata.outputs]);
  const tensor = (kind: string, { name, datatype, shape }: RemoteTensor) => {
    if (!isDataType(datatype)) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `${kind} '${name}' has datatype '${datatype}', which is not known here`,
      );
    }
    const dims = maxBatchSize > 0 ? shape.slice(1) : shape;
    return `${kind} { name: ${quoted(name)} data_type: ${toConfigDataType(datatype)} dims: [ ${dims.join(", ")} ] }`;
  };
  const parameter = (key: string, value: string) =>
    `parameters { key: "${key}" value: { string_value: ${quoted(value)} } }`;
  return [
    `name: ${quoted(model)}`,
    'backend: "kserve"',
    `max_batch_size: ${maxBatchSize}`,
    ...inputs.map((input) => tensor("input", input)),
    ...metadata.outputs.map((output) => tensor("output", output)),
    parameter("target", target),
    parameter("model", model),
    ...(version === "" ? [] : [parameter("version", version)]),
    "",
  ].join("\n");
}

/** A first dimension of any size in every tensor is a batch. */
function guessedBatchSize(tensors: readonly RemoteTensor[]): number {
  return tensors.every(({ shape }) => shape[0] === "-1") ? CAUTIOUS_BATCH_SIZE : 0;
}

/** A text as protobuf's text format has it; of JSON's escapes it lacks none that these names can need. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
