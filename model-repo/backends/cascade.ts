/** The `cascade` backend: a version directory whose model file is cascade.json. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, OperatingPoint } from "../../proto/files/cascade-file.ts";
import { policyHash } from "../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import { CascadeModel } from "../../scheduler/cascade/cascade-model.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { toSignature } from "../config/signature.ts";
import type { Backend, LoadContext } from "./backend.ts";

const CASCADE_FILE = "cascade.json";

/** Settings of config.pbtxt `parameters` that change how a cascade operates. */
const KNOWN_PARAMETERS = ["operating_point", "on_level_failure"];

/** Whether an operating point's promise holds for the policy as it stands. */
export type CertificateState = "uncertified" | "void" | "unverified";

export const cascadeBackend: Backend = {
  load: loadCascade,
  dependencies: async (versionDirectory) => {
    const file = await readCascade(versionDirectory);
    return [...new Set(file.levels.map((level) => level.model))];
  },
};

/** Wires the cascade over the loaded levels; rejects with what does not fit, naming file or level. */
async function loadCascade(context: LoadContext): Promise<Model> {
  const { config } = context.resolved;
  const file = await readCascade(context.versionDirectory);
  const states = new Map(file.operatingPoints.map((point) => [point.name, certificateState(file, point)]));
  const configured = readParameters(config);
  const operatingPoint = configured ?? file.default;
  if (configured === undefined && states.get(operatingPoint) !== "unverified" && !context.allowUncertified) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `cascade '${config.name}': the default operating point '${operatingPoint}' is ${states.get(operatingPoint)}: ` +
        `certify it, or choose it knowingly with parameters { key: "operating_point" value: { string_value: ` +
        `"${operatingPoint}" } } in config.pbtxt or --allow-uncertified`,
    );
  }
  const model = new CascadeModel({
    signature: toSignature(config, context.version),
    file,
    models: file.levels.map((level) => context.lookup(level.model, level.version)),
    operatingPoint,
    selectablePoints: new Set(
      file.operatingPoints
        .map((point) => point.name)
        .filter((name) => name === operatingPoint || context.allowUncertified || states.get(name) === "unverified"),
    ),
    clock: context.clock,
  });
  for (const [point, state] of states) logState(context, point, state);
  return model;
}

async function readCascade(versionDirectory: string): Promise<CascadeFile> {
  const path = join(versionDirectory, CASCADE_FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new InferenceError("UNAVAILABLE", `unable to read the cascade's policy '${path}': ${String(error)}`);
  }
  return parseCascadeFile(text, path);
}

/**
 * A certificate is void when the policy differs from the one it was computed for. Otherwise it stays unverified: the
 * hashes of the levels and the golden rows, which would make it valid, are not compared.
 */
function certificateState(file: CascadeFile, point: OperatingPoint): CertificateState {
  if (point.certificate === null) return "uncertified";
  return point.certificate.policyHash === policyHash(file, point) ? "unverified" : "void";
}

function logState(context: LoadContext, point: string, state: CertificateState): void {
  const fields = { model: context.resolved.config.name, version: context.version, operatingPoint: point, state };
  if (state === "void") {
    context.log.warn(fields, "the policy was changed after certification: the certificate of this point is void");
  } else {
    context.log.info(fields, `operating point is ${state}`);
  }
}

/** The configured operating point, if any; refuses settings that would have no effect. */
function readParameters(config: ModelConfig): string | undefined {
  for (const [key, parameter] of Object.entries(config.parameters)) {
    if (!KNOWN_PARAMETERS.includes(key)) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `cascade '${config.name}': parameter '${key}' is not served yet; served: ${KNOWN_PARAMETERS.join(", ")}`,
      );
    }
    if (key === "on_level_failure" && parameter.string_value !== "fail") {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `cascade '${config.name}': on_level_failure '${parameter.string_value}' is not served yet; served: fail`,
      );
    }
  }
  return config.parameters["operating_point"]?.string_value;
}
