/** Everything that would go wrong when model repositories are served, found without serving them. */
import { join } from "node:path";
import { type ErrorCode, InferenceError } from "../../proto/errors.ts";
import { SystemClock } from "../../scheduler/clock.ts";
import type { Model } from "../../scheduler/model.ts";
import { ModelStatistics } from "../../scheduler/statistics.ts";
import type { LoadContext } from "../backends/backend.ts";
import { loadCascade } from "../backends/cascade.ts";
import type { CertificateFinding } from "../backends/certificate-state.ts";
import { identityBackend } from "../backends/identity.ts";
import { readKserveSettings } from "../backends/kserve-settings.ts";
import { planOnnx } from "../backends/onnx-settings.ts";
import type { ServedCascade } from "../backends/served-cascade.ts";
import { wantedVersions } from "../lifecycle.ts";
import { diskFiles, type ListedModel } from "../repository-files.ts";
import { findModelProblems } from "./model-file.ts";
import { type Problem, placeOf, problem } from "./problem.ts";
import { type Inspection, inspectModelConfig } from "./resolve.ts";
import { unservedBackend, unservedFeatures } from "./served.ts";
import { toSignature } from "./signature.ts";

export interface InspectOptions {
  readonly repositories: readonly string[];
  readonly configName?: string;
  readonly autoComplete: boolean;
  readonly defaultMaxBatchSize: number;
  readonly allowUncertified: boolean;
  readonly coreCount: number;
}

export interface RepositoryReport {
  /** Sorted by name. */
  readonly models: readonly ModelReport[];
  /** Directories that cannot be models because of their name. */
  readonly ignored: readonly string[];
}

export interface ModelReport {
  readonly name: string;
  readonly directory: string;
  /** `backend`, else `platform`; "" where neither is known. */
  readonly backend: string;
  /** Its backend does not exist here: no change of its files would help. */
  readonly cannotRunHere: boolean;
  /** Versions that the policy chooses. */
  readonly versions: readonly number[];
  readonly problems: readonly ReportedProblem[];
  readonly warnings: readonly string[];
  /** Of every operating point of every version of a cascade; empty for other models, and for one with problems. */
  readonly certificates: readonly ReportedCertificate[];
}

/** As far as files tell: golden rows need running levels. */
export interface ReportedCertificate extends CertificateFinding {
  readonly version: number;
  readonly operatingPoint: string;
}

export interface ReportedProblem {
  readonly code: ErrorCode;
  readonly text: string;
  /** `file:line`, or the file where no line is to blame. */
  readonly place: string;
  /** What to do; "" where the text says it. */
  readonly hint: string;
}

/** A model as far as it could be read. */
interface Subject {
  readonly name: string;
  readonly listed: ListedModel;
  /** undefined: the configuration cannot be read, or the model is ambiguous. */
  readonly inspection: Inspection | undefined;
  readonly unreadable: InferenceError | undefined;
  readonly versions: readonly number[];
}

/** Rejects (NOT_FOUND) where a repository itself cannot be read. */
export async function inspectRepositories(options: InspectOptions): Promise<RepositoryReport> {
  const listing = await diskFiles.list(options.repositories);
  const subjects = new Map<string, Subject>();
  for (const [name, listed] of listing.models) subjects.set(name, await readSubject(name, listed, options));
  const models: ModelReport[] = [];
  for (const subject of subjects.values()) models.push(await inspectSubject(subject, subjects, options));
  return { models: models.sort((a, b) => (a.name < b.name ? -1 : 1)), ignored: listing.ignored };
}

async function readSubject(name: string, listed: ListedModel, options: InspectOptions): Promise<Subject> {
  const nothing = { name, listed, inspection: undefined, versions: [] };
  if (listed.problem !== undefined) {
    return { ...nothing, unreadable: new InferenceError("INVALID_ARGUMENT", listed.problem) };
  }
  try {
    const inspection = await inspectModelConfig({ ...options, directory: listed.directory });
    const versions = wantedVersions(inspection.config.version_policy, inspection.versions);
    return { name, listed, inspection, unreadable: undefined, versions };
  } catch (error) {
    return { ...nothing, unreadable: InferenceError.from(error) };
  }
}

async function inspectSubject(
  subject: Subject,
  subjects: ReadonlyMap<string, Subject>,
  options: InspectOptions,
): Promise<ModelReport> {
  const { name, inspection, unreadable, versions } = subject;
  const { directory } = subject.listed;
  if (inspection === undefined) {
    const { code, message } = unreadable ?? new InferenceError("INTERNAL", "cannot be read");
    const problems = [{ code, text: message, place: directory, hint: "" }];
    return { name, directory, backend: "", cannotRunHere: false, versions, problems, warnings: [], certificates: [] };
  }
  const { config } = inspection;
  const warnings = [...inspection.warnings];
  const certificates: ReportedCertificate[] = [];
  const found: { readonly problem: Problem; readonly place: string }[] = [];
  const add = (problems: readonly Problem[], fallback: string): void => {
    for (const each of problems) found.push({ problem: each, place: placeOf(inspection, each.path) ?? fallback });
  };
  const foreign = config.backend === "" && config.platform !== "ensemble" ? undefined : unservedBackend(config);
  const cannotRunHere = foreign !== undefined;
  if (cannotRunHere) add([foreign], inspection.file);
  else {
    add(inspection.problems, inspection.file);
    add(unservedFeatures(config), inspection.file);
    if (versions.length === 0) {
      const text = `at least one version must be available under the version policy of model '${name}'`;
      add(
        [problem("version_policy", text, `put a version directory such as ${join(directory, "1")} there`)],
        directory,
      );
    }
    if (found.length === 0) {
      for (const version of versions) {
        const versionDirectory = join(directory, String(version));
        const context = loadContext(inspection, version, versionDirectory, subjects, options, warnings);
        const onCascade = (cascade: ServedCascade): void => {
          for (const [operatingPoint, finding] of cascade.certificates) {
            certificates.push({ version, operatingPoint, ...finding });
          }
        };
        add(await versionProblems(context, onCascade), versionDirectory);
      }
    }
  }
  const problems = found.map(({ problem: { code, text, hint }, place }) => ({ code, text, place, hint }));
  const backend = config.backend === "" ? config.platform : config.backend;
  return {
    name,
    directory,
    backend,
    cannotRunHere,
    versions,
    problems,
    warnings: [...new Set(warnings)],
    certificates,
  };
}

/** Why a version would not load. Cascades and identities load for real, over stand-ins: they start nothing. */
async function versionProblems(context: LoadContext, onCascade: (cascade: ServedCascade) => void): Promise<Problem[]> {
  const { config } = context.resolved;
  try {
    switch (config.backend) {
      case "onnxruntime": {
        const { warnings } = planOnnx(config, context.backendConfig, context.coreCount);
        for (const warning of warnings) context.log.warn({}, warning);
        return await findModelProblems(config, context.versionDirectory);
      }
      case "cascade": {
        const cascade = await loadCascade(context);
        onCascade(cascade);
        await cascade.close();
        return [];
      }
      case "identity":
        await (await identityBackend.load(context)).close();
        return [];
      case "kserve":
        readKserveSettings(config); // the remote is not asked: a check of files works offline
        return [];
      default:
        return [];
    }
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    return [problem("", message, "", code)];
  }
}

function loadContext(
  resolved: Inspection,
  version: number,
  versionDirectory: string,
  subjects: ReadonlyMap<string, Subject>,
  options: InspectOptions,
  warnings: string[],
): LoadContext {
  return {
    resolved,
    version: String(version),
    versionDirectory,
    clock: new SystemClock(),
    log: { info: () => undefined, warn: (_, text) => warnings.push(text), error: () => undefined },
    maxQueuedRequests: 0,
    backendConfig: new Map(),
    allowUncertified: options.allowUncertified,
    coreCount: options.coreCount,
    claimThreads: () => undefined,
    lookup: (name, wanted) => standIn(name, wanted, subjects),
    directoryOf: (name, wanted) => {
      const { signature } = standIn(name, wanted, subjects);
      return join(subjects.get(name)?.listed.directory ?? "", signature.version);
    },
    offline: true,
  };
}

/** A model that has a signature and answers nothing. */
function standIn(name: string, version: string, subjects: ReadonlyMap<string, Subject>): Model {
  const subject = subjects.get(name);
  if (subject === undefined) {
    const known = [...subjects.keys()].join(", ");
    throw new InferenceError("NOT_FOUND", `level model '${name}' is not in the repository, which has: ${known}`);
  }
  const { inspection, versions } = subject;
  if (inspection === undefined || inspection.problems.length > 0 || versions.length === 0) {
    throw new InferenceError("UNAVAILABLE", `level model '${name}' cannot be served: see its own problems`);
  }
  const chosen = version === "" ? versions.at(-1) : versions.find((candidate) => String(candidate) === version);
  if (chosen === undefined) {
    throw new InferenceError(
      "NOT_FOUND",
      `level model '${name}' has no version ${version} under its version policy; it has: ${versions.join(", ")}`,
    );
  }
  return {
    signature: toSignature(inspection.config, String(chosen)),
    statistics: new ModelStatistics(),
    infer: () => Promise.reject(new InferenceError("UNAVAILABLE", `'${name}' is only inspected, not served`)),
    close: () => Promise.resolve(),
  };
}
