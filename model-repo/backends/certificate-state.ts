/** Whether the promise of an operating point still holds: a pure function of what was found at load. */
import { type CascadeFile, type OperatingPoint, REMOTE_PROVIDER } from "../../proto/files/cascade-file.ts";
import { policyHash } from "../../proto/files/policy-hash.ts";
import { compareHashes, hashKind } from "./certificate-hash.ts";

export const CERTIFICATE_STATES = ["valid", "unverified", "void", "uncertified"] as const;

/**
 * valid: everything that the certificate was computed for was compared and is the same. unverified: nothing differs, but
 * something could not be compared. void: something differs. uncertified: there is no certificate.
 */
export type CertificateState = (typeof CERTIFICATE_STATES)[number];

export interface CertificateFinding {
  readonly state: CertificateState;
  /** Why it is not valid, for people; "" where it is. */
  readonly reason: string;
}

/** What a level runs from. */
export interface LevelIdentity {
  /** As `calibration.levelHashes`; "": not known. */
  readonly hash: string;
  /** Execution provider; "": it runs elsewhere. */
  readonly provider: string;
}

/** What the replay of the golden rows found. */
export interface GoldenFinding {
  /** First difference that concerns every point; undefined: none. */
  readonly difference: string | undefined;
  /** First route that differs, by operating point. */
  readonly routes: ReadonlyMap<string, string>;
  /** Why rows could not be compared; undefined: all were. */
  readonly gap: string | undefined;
}

/** The finding of every operating point, in the order of the file. */
export function certificateFindings(
  file: CascadeFile,
  levels: readonly LevelIdentity[],
  golden: GoldenFinding,
): Map<string, CertificateFinding> {
  const changed = levelDifference(file, levels) ?? golden.difference;
  const gap = levelGap(file, levels) ?? golden.gap;
  return new Map(file.operatingPoints.map((point) => [point.name, finding(file, point, changed, golden, gap)]));
}

function finding(
  file: CascadeFile,
  point: OperatingPoint,
  changed: string | undefined,
  golden: GoldenFinding,
  gap: string | undefined,
): CertificateFinding {
  if (point.certificate === null) return { state: "uncertified", reason: "it has no certificate" };
  if (point.certificate.policyHash !== policyHash(file, point)) {
    return { state: "void", reason: "the policy in cascade.json was changed after certification" };
  }
  const difference = changed ?? golden.routes.get(point.name);
  if (difference !== undefined) return { state: "void", reason: difference };
  return gap === undefined ? { state: "valid", reason: "" } : { state: "unverified", reason: gap };
}

function levelDifference(file: CascadeFile, levels: readonly LevelIdentity[]): string | undefined {
  const { calibration } = file;
  if (calibration === null) return undefined;
  const isKnown = calibration.provider !== "" && calibration.provider !== REMOTE_PROVIDER;
  for (const [k, { hash, provider }] of levels.entries()) {
    if (compareHashes(calibration.levelHashes[k] ?? "", hash) === "different") {
      return `${levelName(file, k)} is not the model that was calibrated: its files or metadata have another hash`;
    }
    if (provider !== "" && isKnown && provider !== calibration.provider) {
      return `${levelName(file, k)} was calibrated on provider '${calibration.provider}' and runs on '${provider}'`;
    }
  }
  return undefined;
}

function levelGap(file: CascadeFile, levels: readonly LevelIdentity[]): string | undefined {
  const { calibration } = file;
  if (calibration === null) return "cascade.json does not say which models were calibrated";
  for (const [k, { hash }] of levels.entries()) {
    const comparison = compareHashes(calibration.levelHashes[k] ?? "", hash);
    if (comparison === "unknown") return `${levelName(file, k)} has no hash to compare`;
    if (comparison === "other kind") return `${levelName(file, k)} ${movedText(hash)}: the hashes cannot be compared`;
  }
  return undefined;
}

function movedText(hash: string): string {
  return hashKind(hash) === "files"
    ? "was calibrated on another server and runs from files here"
    : "was calibrated from files and runs on another server";
}

/** A level as complaints name it. */
export function levelName(file: CascadeFile, level: number): string {
  return `level ${level} ('${file.levels[level]?.model ?? ""}')`;
}
