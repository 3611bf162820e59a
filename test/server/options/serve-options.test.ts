/** The command line of `serve` as typed values, and the combinations that stop the start. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRestrictions } from "../../../server/options/restriction.ts";
import { parseServeOptions, type ServeOptions } from "../../../server/options/serve-options.ts";

function parse(...argv: string[]): ServeOptions {
  const options = parseServeOptions(["--model-repository=/models", ...argv]);
  if (options === "help") throw new Error("help was not asked for");
  return options;
}

test("the defaults are tritonserver's", () => {
  const options = parse();
  assert.deepEqual(options.repositories, ["/models"]);
  assert.equal(options.id, "triton");
  assert.equal(options.controlMode, "none");
  assert.equal(options.autoComplete, true);
  assert.equal(options.exitTimeoutMs, 30_000);
  assert.equal(options.maxQueuedRequests, 1024);
  assert.equal(options.grpc?.port, 8001);
  assert.equal(options.grpc?.tls, undefined);
  assert.equal(options.http?.port, 8000);
  assert.equal(options.metrics?.port, 8002);
  assert.deepEqual(options.warnings, []);
  assert.ok(options.strictReadiness && options.exitOnError && !options.allowClientSharedMemory);
});

test("repositories add up under both names; services can be left out; the metrics address follows HTTP's", () => {
  assert.deepEqual(parse("--model-store=/b", "--model-repository=/c").repositories, ["/models", "/c", "/b"]);
  const none = parse("--allow-grpc=false", "--allow-http=0", "--allow-metrics=false");
  assert.deepEqual([none.grpc, none.http, none.metrics], [undefined, undefined, undefined]);
  assert.equal(parse("--http-address=127.0.0.1").metrics?.host, "127.0.0.1");
  assert.equal(parse("--http-address=127.0.0.1", "--metrics-address=::1").metrics?.host, "::1");
});

test("--help needs nothing else", () => {
  assert.equal(parseServeOptions(["--help"]), "help");
  assert.equal(parseServeOptions(["-h"]), "help");
});

test("auto-complete is off by the flag or its deprecated twin, with Triton's warning", () => {
  assert.equal(parse("--disable-auto-complete-config").autoComplete, false);
  assert.equal(parse("--disable-auto-complete-config=false").autoComplete, true);
  const strict = parse("--strict-model-config=true");
  assert.equal(strict.autoComplete, false);
  assert.match(strict.warnings.join(), /'--strict-model-config' has been deprecated!/);
  assert.match(parse("--strict-model-config=false", "--disable-auto-complete-config").warnings.join(), /Overriding/);
});

test("backend settings by backend, without one for all", () => {
  const { backendConfig } = parse(
    "--backend-config=onnxruntime,default-max-batch-size=4",
    "--backend-config=onnxruntime,x=a,b=c",
    "--backend-config=cmdline=1,2",
  );
  assert.deepEqual(
    [...(backendConfig.get("onnxruntime") ?? [])],
    [
      ["default-max-batch-size", "4"],
      ["x", "a,b=c"],
    ],
  );
  assert.deepEqual([...(backendConfig.get("") ?? [])], [["cmdline", "1,2"]]);
});

test("a plan, and whether to serve without it where it does not fit", () => {
  assert.deepEqual(parse("--plan=out/plan.json").plan, { file: "out/plan.json", fallback: false });
  assert.deepEqual(parse("--plan=p.json", "--plan-fallback").plan, { file: "p.json", fallback: true });
  assert.equal(parse().plan, undefined);
});

test("what cannot be right stops the start", () => {
  const cases: [string[], RegExp][] = [
    [["--plan="], /--plan needs the path of a plan\.json/],
    [["--plan-fallback"], /--plan-fallback says what to do with a --plan that does not fit/],
    [["--load-model=a"], /requires setting '--model-control-mode=explicit'/],
    [["--model-control-mode=explicit", "--load-model=*", "--load-model=a"], /'\*' must be the ONLY/],
    [["--backend-config=onnxruntime"], /BACKEND,KEY=VALUE/],
    [["--grpc-use-ssl=true"], /--grpc-server-cert and --grpc-server-key/],
    [["--grpc-use-ssl", "--grpc-server-cert=c"], /--grpc-server-key/],
    [["--grpc-use-ssl-mutual", "--grpc-server-cert=c", "--grpc-server-key=k"], /--grpc-root-cert/],
    [["--grpc-server-cert=c"], /needs --grpc-use-ssl=true/],
    [["--grpc-root-cert=c"], /needs --grpc-use-ssl=true/],
  ];
  for (const [argv, pattern] of cases) assert.throws(() => parse(...argv), pattern);
  assert.throws(() => parseServeOptions([]), /--model-repository is needed/);
});

test("TLS files; mutual TLS implies TLS", () => {
  const files = ["--grpc-server-cert=c", "--grpc-server-key=k", "--grpc-root-cert=r"];
  assert.deepEqual(parse("--grpc-use-ssl=1", ...files).grpc?.tls, { certificate: "c", key: "k" });
  const mutual = { certificate: "c", key: "k", clientRoots: "r" };
  assert.deepEqual(parse("--grpc-use-ssl-mutual=1", ...files).grpc?.tls, mutual);
});

test("restrictions: groups of classes, each class once", () => {
  const parsed = parseRestrictions("f", ["health, metadata:k1=v1", "inference:k2=a=b"]);
  assert.deepEqual(
    [...parsed],
    [
      ["health", { key: "k1", value: "v1" }],
      ["metadata", { key: "k1", value: "v1" }],
      ["inference", { key: "k2", value: "a=b" }],
    ],
  );
  const twice = /protocol 'health' can not be specified in multiple config groups/;
  assert.throws(() => parseRestrictions("f", ["health:a=b", "health:c=d"]), twice);
  assert.throws(
    () => parseRestrictions("f", ["heath:a=b"]),
    /unknown restricted protocol 'heath'; did you mean "health"/,
  );
  for (const bad of ["health", "health:", "health:k", "health:k=", ":k=v", "health:=v", "health:a b=v"]) {
    assert.throws(() => parseRestrictions("f", [bad]), /--f/, bad);
  }
});
