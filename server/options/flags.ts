/** Every flag of `serve`: tritonserver's names and defaults, and a few of our own. */
import { type FlagGroup, type FlagSpec, flag } from "./flag.ts";
import { INERT_FLAGS } from "./inert-flags.ts";

const PORT = { min: 0, max: 65_535 };
const MILLISECONDS = { min: 0, max: 2_147_483_647 };
const REPEATABLE = { repeatable: true };

const SERVER = [
  flag("help", "flag", "", "print this text"),
  flag("json", "flag", "", "instead of the banner, one line of JSON once the server is ready: ports and models"),
  flag("id", "text", "triton", "name that ServerMetadata answers"),
  flag("exit-timeout-secs", "integer", "30", "seconds that a stopping server gives the requests in hand", { min: 0 }),
  flag("exit-on-error", "boolean", "true", "end at once when a model cannot load at the start"),
  flag("strict-readiness", "boolean", "true", "ready only while every model is ready"),
  flag("allow-client-shm", "boolean", "false", "let clients register shared memory (not available yet)"),
] as const;

const REPOSITORY = [
  flag("model-repository", "text", "", "directory of models; may be given several times", REPEATABLE),
  flag("model-store", "text", "", "older name of --model-repository", REPEATABLE),
  flag("model-control-mode", "text", "none", "none: load all; explicit: by request; poll: watch the files", {
    choices: ["none", "explicit", "poll"],
  }),
  flag("repository-poll-secs", "integer", "15", "seconds between two looks at the repository in mode poll", { min: 1 }),
  flag("load-model", "text", "", "model to load at the start in mode explicit; * alone: all", REPEATABLE),
  flag("model-config-name", "text", "", "use configs/NAME.pbtxt of a model where it exists"),
  flag("disable-auto-complete-config", "flag", "", "take nothing from the model file that its config.pbtxt lacks"),
  flag("strict-model-config", "boolean", "false", "deprecated: as --disable-auto-complete-config"),
  flag("model-load-thread-count", "integer", "4", "models that load at the same time", { min: 1 }),
  flag("model-load-retry-count", "integer", "0", "how often a failed load is tried again", { min: 0 }),
  flag("backend-config", "text", "", "BACKEND,KEY=VALUE: a setting of a backend", REPEATABLE),
  flag("max-queued-requests", "integer", "1024", "queue bound of models that set none; 0: no bound", { min: 0 }),
  flag("allow-uncertified", "boolean", "false", "let cascades use operating points without a valid certificate"),
  flag("allow-mass-unload", "boolean", "false", "let one poll unload more than half of the models"),
  flag("plan", "text", "", "plan.json: where the instances of its models run; SIGHUP reads it again"),
  flag("plan-fallback", "flag", "", "serve without the plan where it does not fit, instead of ending"),
] as const;

const GRPC = [
  flag("allow-grpc", "boolean", "true", "serve gRPC"),
  flag("grpc-address", "text", "0.0.0.0", "address of the gRPC server"),
  flag("grpc-port", "integer", "8001", "port of the gRPC server", PORT),
  flag("reuse-grpc-port", "boolean", "false", "share the gRPC port with other processes (SO_REUSEPORT)"),
  flag("grpc-keepalive-time", "integer", "7200000", "ms without activity before a keepalive ping", MILLISECONDS),
  flag("grpc-keepalive-timeout", "integer", "20000", "ms to wait for the answer of a ping", MILLISECONDS),
  flag("grpc-max-connection-age", "integer", "0", "ms that a connection may live; 0: no limit", MILLISECONDS),
  flag("grpc-max-connection-age-grace", "integer", "0", "ms after that age for its calls; 0: no limit", MILLISECONDS),
] as const;

const SECURITY = [
  flag("grpc-use-ssl", "boolean", "false", "TLS on the gRPC port"),
  flag("grpc-use-ssl-mutual", "boolean", "false", "TLS that asks clients for a certificate too"),
  flag("grpc-server-cert", "text", "", "file: certificate chain of the server, PEM"),
  flag("grpc-server-key", "text", "", "file: private key of the server, PEM"),
  flag("grpc-root-cert", "text", "", "file: certificates that clients' certificates must lead to, PEM"),
  flag("grpc-restricted-protocol", "text", "", "PROTOCOL,...:KEY=VALUE: ask for a header on these calls", REPEATABLE),
  flag("http-restricted-api", "text", "", "API,...:KEY=VALUE: ask for a header on these paths", REPEATABLE),
] as const;

const HTTP = [
  flag("allow-http", "boolean", "true", "serve HTTP (health for now)"),
  flag("http-address", "text", "0.0.0.0", "address of the HTTP server"),
  flag("http-port", "integer", "8000", "port of the HTTP server", PORT),
  flag("reuse-http-port", "boolean", "false", "share the HTTP port with other processes (SO_REUSEPORT)"),
] as const;

const METRICS = [
  flag("allow-metrics", "boolean", "true", "serve Prometheus metrics"),
  flag("metrics-address", "text", "", "address of the metrics server; default: --http-address"),
  flag("metrics-port", "integer", "8002", "port of the metrics server", PORT),
  flag("metrics-interval-ms", "integer", "2000", "ms between two readings of the CPU gauges", { min: 1 }),
  flag("allow-cpu-metrics", "boolean", "true", "nv_cpu_* gauges (Linux)"),
] as const;

const LOGGING = [
  flag("log-verbose", "integer", "0", "0: no debug lines", { min: 0 }),
  flag("log-info", "boolean", "true", "informational lines"),
  flag("log-warning", "boolean", "true", "warnings"),
  flag("log-error", "boolean", "true", "errors"),
  flag("log-format", "text", "default", "time in a line: default: ms since 1970; ISO8601", {
    choices: ["default", "ISO8601"],
  }),
  flag("log-file", "text", "", "file for the log; default: standard error"),
] as const;

/** Name of a flag that acts; the only names that the program asks for. */
export type FlagName =
  | (typeof SERVER)[number]["name"]
  | (typeof REPOSITORY)[number]["name"]
  | (typeof GRPC)[number]["name"]
  | (typeof SECURITY)[number]["name"]
  | (typeof HTTP)[number]["name"]
  | (typeof METRICS)[number]["name"]
  | (typeof LOGGING)[number]["name"];

/** All flags in the order of `--help`. */
export const FLAG_GROUPS: readonly FlagGroup[] = [
  { title: "Server", flags: SERVER },
  { title: "Model repository", flags: REPOSITORY },
  { title: "gRPC", flags: GRPC },
  { title: "Security", flags: SECURITY },
  { title: "HTTP", flags: HTTP },
  { title: "Metrics", flags: METRICS },
  { title: "Logging", flags: LOGGING },
  { title: "Accepted for tritonserver's start scripts, without effect", flags: INERT_FLAGS },
];

/** The same by name. */
export const FLAGS: ReadonlyMap<string, FlagSpec> = new Map(
  FLAG_GROUPS.flatMap((group) => group.flags.map((spec) => [spec.name, spec])),
);
