/** The parameters of a `kserve` model, read and checked. Pure; docs/remote-levels.md lists them. */
import { InferenceError } from "../../proto/errors.ts";
import type { ModelConfig } from "../config/model-config.ts";

/** PEM files as written in the configuration; relative ones lie beside config.pbtxt. */
export interface KserveTls {
  readonly rootCertificates: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

export interface KserveSettings {
  /** `host:port` each, at least one. */
  readonly targets: readonly string[];
  /** The model's name on the remote. */
  readonly model: string;
  /** "" lets the remote choose. */
  readonly version: string;
  /** undefined: plain text. */
  readonly tls: KserveTls | undefined;
  /** Server name for `:authority` and for the certificate, where it is not the target's host. */
  readonly authority: string | undefined;
  /** Headers of every call. */
  readonly headers: ReadonlyMap<string, string>;
  /** Connections to each target. */
  readonly channels: number;
  /** The longest one call may take, whatever the caller's deadline. */
  readonly timeoutMs: number;
  /** Calls that ran out of less time than this say nothing about the remote's health. */
  readonly minDeadlineMs: number;
  /** Parameters that nothing reads. */
  readonly unknown: readonly string[];
}

const KNOWN: ReadonlySet<string> = new Set([
  "target",
  "model",
  "version",
  "tls",
  "tls_root_certificates",
  "tls_certificate",
  "tls_key",
  "authority",
  "channels",
  "timeout_ms",
  "min_deadline_ms",
]);
const HEADER = "header.";
const TARGET = /^(\[[0-9a-fA-F:.]+\]|[^\s:/,[\]]+):(\d{1,5})$/;
/** Header names as HTTP/2 and grpc-js take them; values of `-bin` headers would have to be binary. */
const HEADER_NAME = /^(?!grpc-)[a-z0-9_.-]+(?<!-bin)$/;
const HEADER_VALUE = /^[ -~]*$/;

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_MIN_DEADLINE_MS = 100;
/** A timer's 31 bits. */
const MAX_MS = 2_147_483_647;
const MAX_CHANNELS = 16;

/** Throws INVALID_ARGUMENT with the parameter and what it should be. */
export function readKserveSettings(config: ModelConfig): KserveSettings {
  const { name } = config;
  const read = (parameter: string) => config.parameters[parameter]?.string_value || undefined;
  const names = Object.keys(config.parameters);
  if (config.input.some((input) => input.reshape) || config.output.some((output) => output.reshape)) {
    throw invalid(name, "has a reshape, which the kserve backend does not do: write the dims that the remote has");
  }
  return {
    targets: readTargets(name, read("target")),
    model: read("model") ?? name,
    version: readVersion(name, read("version")),
    tls: readTls(name, read),
    authority: read("authority"),
    headers: readHeaders(name, config, names),
    channels: readInteger(name, "channels", read("channels"), 1, MAX_CHANNELS, 1),
    timeoutMs: readInteger(name, "timeout_ms", read("timeout_ms"), 1, MAX_MS, DEFAULT_TIMEOUT_MS),
    minDeadlineMs: readInteger(name, "min_deadline_ms", read("min_deadline_ms"), 0, MAX_MS, DEFAULT_MIN_DEADLINE_MS),
    unknown: names.filter((parameter) => !KNOWN.has(parameter) && !parameter.startsWith(HEADER)),
  };
}

function readTargets(model: string, text: string | undefined): string[] {
  const targets = (text ?? "").split(",").map((target) => target.trim());
  for (const target of targets) {
    const port = Number(TARGET.exec(target)?.[2] ?? 0);
    if (port > 0 && port <= 65_535) continue;
    throw invalid(
      model,
      text === undefined
        ? 'has no parameter \'target\': add parameters { key: "target" value: { string_value: "host:8001" } }'
        : `parameter 'target' is '${text}', expected host:port, several with commas between; the gRPC port, without http://`,
    );
  }
  return [...new Set(targets)];
}

function readVersion(model: string, text: string | undefined): string {
  if (text === undefined || /^\d{1,18}$/.test(text)) return text ?? "";
  throw invalid(model, `parameter 'version' is '${text}', expected a number, or nothing: the remote then chooses`);
}

function readTls(model: string, read: (parameter: string) => string | undefined): KserveTls | undefined {
  const rootCertificates = read("tls_root_certificates");
  const certificate = read("tls_certificate");
  const key = read("tls_key");
  const hasFiles = [rootCertificates, certificate, key].some((file) => file !== undefined);
  const text = read("tls") ?? "false";
  if (text !== "true" && text !== "false") {
    throw invalid(model, `parameter 'tls' is '${text}', expected 'true' or 'false'`);
  }
  if (text === "false") {
    if (!hasFiles) return undefined;
    throw invalid(model, "has tls_* files but its connection is plain text: set parameter 'tls' to 'true'");
  }
  if ((certificate === undefined) !== (key === undefined)) {
    throw invalid(model, "needs both tls_certificate and tls_key, or neither");
  }
  return { rootCertificates, certificate, key };
}

function readHeaders(model: string, config: ModelConfig, names: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const parameter of names.filter((name) => name.startsWith(HEADER))) {
    const header = parameter.slice(HEADER.length);
    const value = config.parameters[parameter]?.string_value ?? "";
    if (!HEADER_NAME.test(header) || !HEADER_VALUE.test(value)) {
      throw invalid(
        model,
        `parameter '${parameter}' is no header: names are lower case, not 'grpc-...' or '...-bin', values printable ASCII`,
      );
    }
    headers.set(header, value);
  }
  return headers;
}

function readInteger(
  model: string,
  parameter: string,
  text: string | undefined,
  least: number,
  most: number,
  otherwise: number,
): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (value >= least && value <= most) return value;
  throw invalid(model, `parameter '${parameter}' is '${text}', expected an integer from ${least} to ${most}`);
}

function invalid(model: string, what: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `model '${model}' ${what}`);
}
