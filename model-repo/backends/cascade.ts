/** The `cascade` backend: a version directory whose model file is cascade.json. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, Gate } from "../../proto/files/cascade-file.ts";
import { policyHash } from "../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import { CascadeModel } from "../../scheduler/cascade/cascade-model.ts";
import { type GearTable, NO_GEARS } from "../../scheduler/cascade/gears.ts";
import { lastLevelOnlyPoint } from "../../scheduler/cascade/policy.ts";
import { isCascadeReady } from "../../scheduler/cascade/readiness.ts";
import type { Model } from "../../scheduler/model.ts";
import { toSignature } from "../config/signature.ts";
import type { Backend, LoadContext } from "./backend.ts";
import { type CascadeParameters, readCascadeParameters } from "./cascade-parameters.ts";
import { GOLDEN_FILE, notCompared, replayGoldenFile } from "./certificate-golden.ts";
import { levelIdentity } from "./certificate-level.ts";
import { type CertificateFinding, certificateFindings } from "./certificate-state.ts";
import { ServedCascade } from "./served-cascade.ts";

const CASCADE_FILE = "cascade.json";

export const cascadeBackend: Backend = {
  load: loadCascade,
  dependencies: async (versionDirectory) => {
    const file = await readCascade(versionDirectory);
    return [...new Set(file.levels.map((level) => level.model))];
  },
};

/** Wires the cascade over the loaded levels; rejects with what does not fit, naming file or level. */
export async function loadCascade(context: LoadContext): Promise<ServedCascade> {
  const { config } = context.resolved;
  const read = await readCascade(context.versionDirectory);
  const parameters = readCascadeParameters(config, read);
  const models = read.levels.map((level) => context.lookup(level.model, level.version));
  const signature = toSignature(config, context.version);
  const { onLevelFailure, deadlineEscalation, shadowShare, onDrift } = parameters;
  const fixed = { signature, models, onLevelFailure, deadlineEscalation, shadowShare, onDrift, clock: context.clock };
  // Wired once before anything is compared: levels that do not fit are the clearer complaint.
  const { gears } = parameters;
  new CascadeModel({ ...fixed, file: read, gears, operatingPoint: read.default, selectablePoints: new Set() });
  const certificates = await findCertificates(context, read, models);
  const start = startPoint(context, read, parameters, certificates);
  const file = start === undefined ? withLastLevelPoint(read) : read;
  const operatingPoint = start ?? lastLevelOnlyPoint(file.levels.length).name;
  const selectable = selectablePoints(context, file, operatingPoint, certificates);
  const { log } = context;
  const cascade = new CascadeModel({
    ...fixed,
    file,
    // Without a certificate for the default, load chooses no cheaper point either.
    gears: start === undefined ? NO_GEARS : gearsToUse(context, gears, selectable),
    operatingPoint,
    selectablePoints: selectable,
    onDriftAlarm: ({ detector, text }) => {
      const fields = { model: config.name, version: context.version, detector, onDrift };
      log.warn(fields, `model '${config.name}': drift: ${text}; its certificates are void from now on`);
    },
  });
  const isReadyAt = (gates: readonly Gate[]) =>
    isCascadeReady(gates, onLevelFailure, (level) => models[level]?.isReady !== false);
  const served = new ServedCascade({ cascade, file, certificates, operatingPoint, selectable, isReadyAt });
  if (context.offline !== true) for (const [point, finding] of certificates) logFinding(context, point, finding);
  if (start === undefined) {
    log.warn(
      { model: config.name, version: context.version, operatingPoint },
      `model '${config.name}': the certificate of the operating point '${parameters.operatingPoint ?? file.default}' is void, so the last ` +
        "level answers alone: calibrate again, or choose a point knowingly in config.pbtxt or by --allow-uncertified",
    );
  }
  context.onTakeOver?.((before) => {
    if (before instanceof ServedCascade) takeOver(context, before, served);
  });
  return served;
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

/** Compares what the certificates were computed for with what is loaded; without certificates there is nothing to do. */
async function findCertificates(
  context: LoadContext,
  file: CascadeFile,
  models: readonly Model[],
): Promise<ReadonlyMap<string, CertificateFinding>> {
  if (file.operatingPoints.every((point) => point.certificate === null)) {
    return certificateFindings(file, [], notCompared(""));
  }
  const levels = await Promise.all(
    models.map((model, k) => {
      const { model: name = "", version = "" } = file.levels[k] ?? {};
      return levelIdentity(model, context.directoryOf?.(name, version));
    }),
  );
  const golden = context.offline
    ? notCompared("the golden rows are replayed when the cascade is served")
    : await replayGoldenFile(join(context.versionDirectory, GOLDEN_FILE), {
        file,
        signature: toSignature(context.resolved.config, context.version),
        models,
        clock: context.clock,
      });
  return certificateFindings(file, levels, golden);
}

/**
 * The point to begin with. Consent (the configuration names it, or --allow-uncertified) is enough for any. Without it a
 * default that is valid or unverified serves; one that never had a certificate is refused; one whose certificate is void
 * gives way to the last level (undefined), so that a changed level neither stops the service nor breaks a promise.
 */
function startPoint(
  { allowUncertified, plannedCascade, resolved: { config } }: LoadContext,
  file: CascadeFile,
  parameters: CascadeParameters,
  certificates: ReadonlyMap<string, CertificateFinding>,
): string | undefined {
  const point = parameters.operatingPoint ?? file.default;
  const isNamed = parameters.operatingPoint !== undefined && plannedCascade?.isPointNamed !== false;
  if (isNamed) return point;
  const state = certificates.get(point)?.state;
  if (allowUncertified || state === "valid" || state === "unverified") return point;
  if (state === "void") return undefined;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `cascade '${config.name}': the ${plannedCascade === undefined ? "default" : "plan's"} operating point '${point}' is ` +
      "uncertified: certify it, or choose it knowingly with " +
      `parameters { key: "operating_point" value: { string_value: "${point}" } } in config.pbtxt ` +
      "or --allow-uncertified",
  );
}

/** The cascade with a point that asks the last level only; one of that name that is there already stays. */
function withLastLevelPoint(file: CascadeFile): CascadeFile {
  const point = lastLevelOnlyPoint(file.levels.length);
  if (file.operatingPoints.some(({ name }) => name === point.name)) return file;
  return { ...file, operatingPoints: [...file.operatingPoints, point] };
}

/** What may be chosen while the server runs: where it begins, what nothing speaks against, or anything by flag. */
function selectablePoints(
  { allowUncertified }: LoadContext,
  file: CascadeFile,
  operatingPoint: string,
  certificates: ReadonlyMap<string, CertificateFinding>,
): ReadonlySet<string> {
  const names = file.operatingPoints.map((point) => point.name);
  return new Set(
    names.filter((name) => {
      const state = certificates.get(name)?.state;
      return name === operatingPoint || allowUncertified || state === "valid" || state === "unverified";
    }),
  );
}

/** A plan's gears were certified when it was made; one that is not any more is left out. */
function gearsToUse(
  { plannedCascade, log, resolved: { config } }: LoadContext,
  table: GearTable,
  selectable: ReadonlySet<string>,
): GearTable {
  if (plannedCascade === undefined) return table;
  const gears = table.gears.filter(({ point }) => selectable.has(point));
  for (const { point } of table.gears) {
    if (selectable.has(point)) continue;
    log.warn(
      { model: config.name, point },
      `model '${config.name}': the plan's gear '${point}' has no valid certificate`,
    );
  }
  return { ...table, gears };
}

function logFinding(context: LoadContext, operatingPoint: string, { state, reason }: CertificateFinding): void {
  const { name } = context.resolved.config;
  const fields = { model: name, version: context.version, operatingPoint, state };
  if (state === "valid" || state === "uncertified") {
    context.log.info(fields, `operating point '${operatingPoint}' is ${state}`);
    return;
  }
  context.log.warn(
    { ...fields, reason },
    `model '${name}': the certificate of operating point '${operatingPoint}' is ${state}: ${reason}`,
  );
}

/** A reload goes on where the version before stopped: at its operating point, with its drift watch. */
function takeOver(context: LoadContext, before: ServedCascade, served: ServedCascade): void {
  keepChosenPoint(context, before, served);
  served.cascade.succeed(before.cascade); // after the point: the watch's state is of one
}

/**
 * The point that somebody chose while the version before ran is chosen again, where it is still the same and the
 * configuration begins where it began.
 */
function keepChosenPoint({ log, version }: LoadContext, before: ServedCascade, served: ServedCascade): void {
  const chosen = before.chosenPoint;
  if (chosen === undefined) return;
  const fields = { model: served.signature.name, version, operatingPoint: chosen };
  const isSame = pointHash(before.file, chosen) === pointHash(served.file, chosen);
  if (isSame && before.startPoint === served.startPoint && served.selectable.has(chosen)) {
    served.choose(chosen);
    log.info(fields, `goes on at operating point '${chosen}', chosen before the reload`);
  } else {
    log.warn(
      fields,
      `begins at operating point '${served.startPoint}': '${chosen}', chosen before the reload, is another point now, ` +
        "may not be chosen, or the configuration was changed",
    );
  }
}

function pointHash(file: CascadeFile, name: string): string | undefined {
  const point = file.operatingPoints.find((candidate) => candidate.name === name);
  return point && policyHash(file, point);
}
