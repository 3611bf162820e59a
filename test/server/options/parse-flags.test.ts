/** How a command line is read by the flag tables, and that the tables are tritonserver's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FLAG_GROUPS, FLAGS } from "../../../server/options/flags.ts";
import { serveHelp } from "../../../server/options/help.ts";
import { parseFlags } from "../../../server/options/parse-flags.ts";

/** tritonserver's options and their defaults where it has one that we share. */
const TRITON_FLAGS: Readonly<Record<string, string | undefined>> = {
  help: undefined,
  id: "triton",
  "model-repository": undefined,
  "model-store": undefined,
  "exit-timeout-secs": "30",
  "exit-on-error": "true",
  "strict-readiness": "true",
  "disable-auto-complete-config": undefined,
  "strict-model-config": "false",
  "model-control-mode": "none",
  "repository-poll-secs": "15",
  "load-model": undefined,
  "model-config-name": undefined,
  "model-namespacing": undefined,
  "model-load-thread-count": "4",
  "model-load-retry-count": "0",
  "model-load-gpu-limit": undefined,
  "allow-http": "true",
  "http-address": "0.0.0.0",
  "http-port": "8000",
  "reuse-http-port": "false",
  "http-header-forward-pattern": undefined,
  "http-thread-count": undefined,
  "http-max-input-size": undefined,
  "http-restricted-api": undefined,
  "allow-grpc": "true",
  "grpc-address": "0.0.0.0",
  "grpc-port": "8001",
  "reuse-grpc-port": "false",
  "grpc-header-forward-pattern": undefined,
  "grpc-infer-thread-count": undefined,
  "grpc-infer-allocation-pool-size": undefined,
  "grpc-max-response-pool-size": undefined,
  "grpc-use-ssl": "false",
  "grpc-use-ssl-mutual": "false",
  "grpc-server-cert": undefined,
  "grpc-server-key": undefined,
  "grpc-root-cert": undefined,
  "grpc-infer-response-compression-level": undefined,
  "grpc-keepalive-time": "7200000",
  "grpc-keepalive-timeout": "20000",
  "grpc-keepalive-permit-without-calls": undefined,
  "grpc-http2-max-pings-without-data": undefined,
  "grpc-http2-min-recv-ping-interval-without-data": undefined,
  "grpc-http2-max-ping-strikes": undefined,
  "grpc-max-connection-age": "0",
  "grpc-max-connection-age-grace": "0",
  "grpc-restricted-protocol": undefined,
  "log-verbose": "0",
  "log-info": "true",
  "log-warning": "true",
  "log-error": "true",
  "log-format": "default",
  "log-file": undefined,
  "allow-metrics": "true",
  "metrics-address": undefined,
  "metrics-port": "8002",
  "metrics-interval-ms": "2000",
  "allow-gpu-metrics": undefined,
  "allow-cpu-metrics": "true",
  "metrics-config": undefined,
  "trace-config": undefined,
  "cache-config": undefined,
  "cache-directory": undefined,
  "rate-limit": undefined,
  "rate-limit-resource": undefined,
  "backend-directory": undefined,
  "backend-config": undefined,
  "allow-client-shm": "false",
  "allow-sagemaker": undefined,
  "sagemaker-port": undefined,
  "sagemaker-safe-port-range": undefined,
  "sagemaker-thread-count": undefined,
  "allow-vertex-ai": undefined,
  "vertex-ai-port": undefined,
  "vertex-ai-thread-count": undefined,
  "vertex-ai-default-model": undefined,
  "pinned-memory-pool-byte-size": undefined,
  "cuda-memory-pool-byte-size": undefined,
  "cuda-virtual-address-size": undefined,
  "enable-peer-access": undefined,
  "min-supported-compute-capability": undefined,
  "buffer-manager-thread-count": undefined,
  "host-policy": undefined,
  "repoagent-directory": undefined,
  "response-cache-byte-size": undefined,
  "trace-file": undefined,
  "trace-level": undefined,
  "trace-rate": undefined,
  "trace-count": undefined,
  "trace-log-frequency": undefined,
};

const OWN_FLAGS = ["json", "max-queued-requests", "allow-mass-unload", "allow-uncertified", "plan", "plan-fallback"];

test("the tables hold tritonserver's flags and ours, each once, with tritonserver's defaults", () => {
  const names = FLAG_GROUPS.flatMap((group) => group.flags.map(({ name }) => name));
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual([...names].sort(), [...Object.keys(TRITON_FLAGS), ...OWN_FLAGS].sort());
  for (const [name, value] of Object.entries(TRITON_FLAGS)) {
    if (value !== undefined) assert.equal(FLAGS.get(name)?.default, value, name);
  }
});

test("no security flag is without effect", () => {
  const isSecurity = /ssl|cert|-key$|restricted|client-shm/;
  for (const [name, spec] of FLAGS) if (isSecurity.test(name)) assert.equal(spec.noEffect, undefined, name);
});

test("the help names every flag under its heading, with its default", () => {
  const help = serveHelp();
  for (const [name, spec] of FLAGS) {
    assert.match(help, new RegExp(`^  --${name}( |$)`, "m"));
    if (spec.default !== "") assert.match(help, new RegExp(`--${name}[^]*?\\(default ${spec.default}\\)`));
  }
  for (const { title } of FLAG_GROUPS) assert.ok(help.includes(`\n${title}:\n`));
});

test("values come after = or as the next word", () => {
  const flags = parseFlags(["--grpc-port=9001", "--http-port", "9000", "--id=a=b"]);
  assert.equal(flags.number("grpc-port"), 9001);
  assert.equal(flags.number("http-port"), 9000);
  assert.equal(flags.text("id"), "a=b");
  assert.equal(flags.number("metrics-port"), 8002);
});

test("booleans take true, false, 1 and 0 in any case, or nothing", () => {
  for (const [value, expected] of [
    ["true", true],
    ["False", false],
    ["1", true],
    ["0", false],
  ] as const) {
    assert.equal(parseFlags([`--allow-grpc=${value}`]).boolean("allow-grpc"), expected);
    assert.equal(parseFlags(["--allow-grpc", value]).boolean("allow-grpc"), expected);
  }
  const bare = parseFlags(["--reuse-grpc-port", "--reuse-http-port"]);
  assert.ok(bare.boolean("reuse-grpc-port") && bare.boolean("reuse-http-port"));
});

test("of a flag given twice the last counts; repeatable ones keep all", () => {
  const flags = parseFlags(["--grpc-port=1", "--grpc-port=2", "--load-model=a", "--load-model", "b"]);
  assert.equal(flags.number("grpc-port"), 2);
  assert.deepEqual(flags.texts("load-model"), ["a", "b"]);
});

test("mistakes name the flag, what came and what would be right", () => {
  const cases: [string[], RegExp][] = [
    [["--grpc-prot=1"], /unknown flag --grpc-prot; did you mean "--grpc-port"\?/],
    [["--nothing-like-it-at-all"], /^unknown flag --nothing-like-it-at-all$/],
    [["models"], /unexpected argument "models"/],
    [["--id"], /--id needs a value/],
    [["--id", "--grpc-port=1"], /--id needs a value/],
    [["--grpc-port=abc"], /--grpc-port takes a whole number, got "abc"/],
    [["--grpc-port=1.5"], /whole number/],
    [["--grpc-port="], /whole number/],
    [["--grpc-port=65536"], /--grpc-port must be at most 65535/],
    [["--grpc-port=-1"], /--grpc-port must be at least 0/],
    [["--allow-grpc=yes"], /--allow-grpc takes true or false, got "yes"/],
    [["--model-control-mode=auto"], /takes none, explicit, poll, got "auto"/],
    [["--min-supported-compute-capability=x"], /number/],
  ];
  for (const [argv, pattern] of cases) {
    assert.throws(
      () => parseFlags(argv),
      (error: Error) => {
        assert.match(error.message, pattern);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});

test("a flag without effect is one warning line, none when it switches something off", () => {
  assert.deepEqual(parseFlags(["--backend-directory=/x", "--allow-gpu-metrics=false", "--grpc-port=1"]).warnings(), [
    "--backend-directory has no effect: backends are built in",
  ]);
  assert.equal(parseFlags(["--allow-sagemaker=true", "--trace-config=a", "--trace-config=b"]).warnings().length, 2);
});
