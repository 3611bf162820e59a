/** What `serve` was asked to do: the command line as typed values. */

import type { BackendConfig } from "../../model-repo/backends/backend.ts";
import type { ControlMode } from "../../model-repo/repository-types.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type ParsedFlags, parseFlags } from "./parse-flags.ts";
import { parseRestrictions, type Restrictions } from "./restriction.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly reusePort: boolean;
}

/** Files of the gRPC server's TLS. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Clients must show a certificate that leads to one in this file. */
  readonly clientRoots?: string;
}

export interface GrpcOptions extends Endpoint {
  readonly tls?: TlsFiles;
  readonly restrictions: Restrictions;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** 0: no limit. */
  readonly maxConnectionAgeMs: number;
  /** 0: no limit. */
  readonly maxConnectionAgeGraceMs: number;
}

export interface HttpOptions extends Endpoint {
  readonly restrictions: Restrictions;
}

export interface MetricsOptions extends Endpoint {
  readonly cpu: boolean;
  readonly intervalMs: number;
}

export interface LogOptions {
  readonly info: boolean;
  readonly warning: boolean;
  readonly error: boolean;
  readonly verbose: boolean;
  readonly isoTime: boolean;
  /** "" is standard error. */
  readonly file: string;
}

export interface PlanOptions {
  readonly file: string;
  /** Serve without a plan that does not fit. */
  readonly fallback: boolean;
}

export interface ServeOptions {
  readonly id: string;
  readonly repositories: readonly string[];
  readonly controlMode: ControlMode;
  readonly pollSeconds: number;
  readonly loadModels: readonly string[];
  /** "": each model's config.pbtxt. */
  readonly configName: string;
  readonly autoComplete: boolean;
  readonly backendConfig: BackendConfig;
  readonly loadThreadCount: number;
  readonly loadRetryCount: number;
  readonly maxQueuedRequests: number;
  readonly allowUncertified: boolean;
  readonly allowMassUnload: boolean;
  readonly strictReadiness: boolean;
  /** Absent: every model as its configuration says. */
  readonly plan?: PlanOptions;
  readonly exitOnError: boolean;
  readonly exitTimeoutMs: number;
  readonly allowClientSharedMemory: boolean;
  /** Absent: not served. */
  readonly grpc?: GrpcOptions;
  readonly http?: HttpOptions;
  readonly metrics?: MetricsOptions;
  readonly log: LogOptions;
  /** Tell programs, not people, that the server is ready. */
  readonly json: boolean;
  /** What the user should know about flags that were accepted. */
  readonly warnings: readonly string[];
}

/** Parses the arguments of `serve`; "help" when the flag asks for that. Throws INVALID_ARGUMENT. */
export function parseServeOptions(argv: readonly string[]): ServeOptions | "help" {
  const flags = parseFlags(argv);
  if (flags.has("help")) return "help";
  const repositories = [...flags.texts("model-repository"), ...flags.texts("model-store")];
  if (repositories.length === 0) throw usage("--model-repository is needed: the directory that holds the models");
  const plan = planOptions(flags);
  const isStrictConfig = flags.boolean("strict-model-config");
  const isCompletionOff = flags.has("disable-auto-complete-config") && flags.boolean("disable-auto-complete-config");
  const grpc = flags.boolean("allow-grpc") ? grpcOptions(flags) : undefined;
  const http = flags.boolean("allow-http") ? httpOptions(flags) : undefined;
  const metrics = flags.boolean("allow-metrics") ? metricsOptions(flags) : undefined;
  return {
    id: flags.text("id"),
    repositories,
    controlMode: controlMode(flags.text("model-control-mode")),
    pollSeconds: flags.number("repository-poll-secs"),
    loadModels: loadModels(flags),
    configName: flags.text("model-config-name"),
    autoComplete: !isCompletionOff && !isStrictConfig,
    backendConfig: parseBackendConfig(flags.texts("backend-config")),
    loadThreadCount: flags.number("model-load-thread-count"),
    loadRetryCount: flags.number("model-load-retry-count"),
    maxQueuedRequests: flags.number("max-queued-requests"),
    allowUncertified: flags.boolean("allow-uncertified"),
    allowMassUnload: flags.boolean("allow-mass-unload"),
    strictReadiness: flags.boolean("strict-readiness"),
    exitOnError: flags.boolean("exit-on-error"),
    exitTimeoutMs: flags.number("exit-timeout-secs") * 1000,
    allowClientSharedMemory: flags.boolean("allow-client-shm"),
    ...(plan === undefined ? {} : { plan }),
    ...(grpc === undefined ? {} : { grpc }),
    ...(http === undefined ? {} : { http }),
    ...(metrics === undefined ? {} : { metrics }),
    log: {
      info: flags.boolean("log-info"),
      warning: flags.boolean("log-warning"),
      error: flags.boolean("log-error"),
      verbose: flags.number("log-verbose") > 0,
      isoTime: flags.text("log-format") === "ISO8601",
      file: flags.text("log-file"),
    },
    json: flags.has("json"),
    warnings: warnings(flags, isStrictConfig),
  };
}

function grpcOptions(flags: ParsedFlags): GrpcOptions {
  const tls = tlsFiles(flags);
  return {
    host: flags.text("grpc-address"),
    port: flags.number("grpc-port"),
    reusePort: flags.boolean("reuse-grpc-port"),
    ...(tls === undefined ? {} : { tls }),
    restrictions: parseRestrictions("grpc-restricted-protocol", flags.texts("grpc-restricted-protocol")),
    keepaliveTimeMs: flags.number("grpc-keepalive-time"),
    keepaliveTimeoutMs: flags.number("grpc-keepalive-timeout"),
    maxConnectionAgeMs: flags.number("grpc-max-connection-age"),
    maxConnectionAgeGraceMs: flags.number("grpc-max-connection-age-grace"),
  };
}

/** A TLS flag that would be silently useless stops the start: its user believes the port is protected. */
function tlsFiles(flags: ParsedFlags): TlsFiles | undefined {
  const isMutual = flags.boolean("grpc-use-ssl-mutual");
  if (!flags.boolean("grpc-use-ssl") && !isMutual) {
    for (const name of ["grpc-server-cert", "grpc-server-key", "grpc-root-cert"] as const) {
      if (flags.has(name)) throw usage(`--${name} needs --grpc-use-ssl=true: without it the port is not encrypted`);
    }
    return undefined;
  }
  const certificate = flags.text("grpc-server-cert");
  const key = flags.text("grpc-server-key");
  if (certificate === "" || key === "") throw usage("TLS needs --grpc-server-cert and --grpc-server-key");
  const clientRoots = flags.text("grpc-root-cert");
  if (!isMutual) return { certificate, key };
  if (clientRoots === "") throw usage("--grpc-use-ssl-mutual needs --grpc-root-cert: whom to trust");
  return { certificate, key, clientRoots };
}

function httpOptions(flags: ParsedFlags): HttpOptions {
  return {
    host: flags.text("http-address"),
    port: flags.number("http-port"),
    reusePort: flags.boolean("reuse-http-port"),
    restrictions: parseRestrictions("http-restricted-api", flags.texts("http-restricted-api")),
  };
}

function metricsOptions(flags: ParsedFlags): MetricsOptions {
  const host = flags.text("metrics-address");
  return {
    host: host === "" ? flags.text("http-address") : host,
    port: flags.number("metrics-port"),
    reusePort: false,
    cpu: flags.boolean("allow-cpu-metrics"),
    intervalMs: flags.number("metrics-interval-ms"),
  };
}

function controlMode(text: string): ControlMode {
  return text === "explicit" || text === "poll" ? text : "none";
}

function planOptions(flags: ParsedFlags): PlanOptions | undefined {
  const fallback = flags.has("plan-fallback");
  if (!flags.has("plan")) {
    if (fallback) throw usage("--plan-fallback says what to do with a --plan that does not fit: give that too");
    return undefined;
  }
  const file = flags.text("plan");
  if (file === "") throw usage("--plan needs the path of a plan.json, as hybridserve plan writes it");
  return { file, fallback };
}

function loadModels(flags: ParsedFlags): readonly string[] {
  const names = flags.texts("load-model");
  if (names.length > 0 && flags.text("model-control-mode") !== "explicit") {
    throw usage("Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.");
  }
  if (names.length > 1 && names.includes("*")) {
    throw usage("Wildcard model name '*' must be the ONLY startup model if specified at all.");
  }
  return names;
}

/** `BACKEND,KEY=VALUE`, or `KEY=VALUE` for all backends. */
function parseBackendConfig(values: readonly string[]): BackendConfig {
  const config = new Map<string, Map<string, string>>();
  for (const value of values) {
    const equals = value.indexOf("=");
    const comma = value.slice(0, Math.max(0, equals)).indexOf(",");
    const key = value.slice(comma + 1, equals);
    if (equals < 0 || key === "") throw usage(`--backend-config takes BACKEND,KEY=VALUE, got "${value}"`);
    const backend = comma < 0 ? "" : value.slice(0, comma);
    const settings = config.get(backend) ?? new Map<string, string>();
    config.set(backend, settings.set(key, value.slice(equals + 1)));
  }
  return config;
}

function warnings(flags: ParsedFlags, isStrictConfig: boolean): string[] {
  const lines = flags.warnings();
  if (flags.has("strict-model-config")) {
    const overridden = flags.has("disable-auto-complete-config") && !isStrictConfig;
    lines.push(
      overridden
        ? "Warning: Overriding deprecated '--strict-model-config' from False to True in favor of '--disable-auto-complete-config'!"
        : "Warning: '--strict-model-config' has been deprecated! Please use '--disable-auto-complete-config' instead.",
    );
  }
  if (flags.boolean("allow-client-shm")) {
    lines.push("--allow-client-shm has no effect: shared memory is not available yet");
  }
  return lines;
}

function usage(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
