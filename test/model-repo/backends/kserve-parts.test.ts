/** The pure parts of the kserve backend: settings, batches, outcomes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { status } from "@grpc/grpc-js";
import { mergeRequests, scatterResponse } from "../../../model-repo/backends/kserve-batch.ts";
import { outcomeOf, RemoteCallError, toInferenceError } from "../../../model-repo/backends/kserve-error.ts";
import { metadataHash, type RemoteMetadata } from "../../../model-repo/backends/kserve-metadata.ts";
import { readKserveSettings } from "../../../model-repo/backends/kserve-settings.ts";
import { inspectRepositories } from "../../../model-repo/config/inspect-repository.ts";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";
import type { Parameter } from "../../../proto/inference.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { bytes, request, signature, spec } from "../../support/tensors.ts";

const settings = (parameters: Readonly<Record<string, string>>) =>
  readKserveSettings({
    name: "m",
    input: [],
    output: [],
    parameters: Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, { string_value: value }])),
  } as unknown as ModelConfig); // only the fields that are read

describe("settings", () => {
  it("have defaults", () => {
    assert.deepEqual(settings({ target: "a:1, [::1]:2,a:1" }), {
      targets: ["a:1", "[::1]:2"],
      model: "m",
      version: "",
      tls: undefined,
      authority: undefined,
      headers: new Map(),
      channels: 1,
      timeoutMs: 60_000,
      minDeadlineMs: 100,
      unknown: [],
    });
  });

  const wrong: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{}, /has no parameter 'target'/],
    [{ target: "http://a:1" }, /'target' is 'http:\/\/a:1', expected host:port/],
    [{ target: "a:0" }, /expected host:port/],
    [{ target: "a:70000" }, /expected host:port/],
    [{ target: "a:1,,b:2" }, /expected host:port/],
    [{ target: "a:1", version: "latest" }, /'version' is 'latest'/],
    [{ target: "a:1", tls: "yes" }, /'tls' is 'yes'/],
    [{ target: "a:1", tls_key: "k" }, /set parameter 'tls' to 'true'/],
    [{ target: "a:1", tls: "true", tls_key: "k" }, /both tls_certificate and tls_key/],
    [{ target: "a:1", channels: "0" }, /'channels' is '0', expected an integer from 1 to 16/],
    [{ target: "a:1", timeout_ms: "1.5" }, /'timeout_ms' is '1.5'/],
    [{ target: "a:1", "header.grpc-timeout": "1S" }, /'header.grpc-timeout' is no header/],
    [{ target: "a:1", "header.x": "a\nb" }, /is no header/],
  ];
  for (const [parameters, message] of wrong) {
    it(`are refused: ${JSON.stringify(parameters)}`, () => {
      assert.throws(() => settings(parameters), { code: "INVALID_ARGUMENT", message });
    });
  }
});

it("validate tells what is wrong with a kserve model, and asks no remote", async (t) => {
  const tensors =
    'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }';
  const target = (value: string) => `parameters { key: "target" value: { string_value: "${value}" } }`;
  const repository = await temporaryFiles(t, {
    "bare/1/": "",
    "bare/config.pbtxt": `backend: "kserve" ${target("nowhere.invalid:8001")}`,
    "good/1/": "",
    "good/config.pbtxt": `backend: "kserve" ${tensors} ${target("nowhere.invalid:8001")}`,
    "wrong/1/": "",
    "wrong/config.pbtxt": `backend: "kserve" ${tensors} ${target("nowhere.invalid")}`,
  });
  const options = { repositories: [repository], autoComplete: true, defaultMaxBatchSize: 4, allowUncertified: false };
  const { models } = await inspectRepositories({ ...options, coreCount: 1 });
  const found = models.map(({ name, cannotRunHere, problems }) => [name, cannotRunHere, problems[0]?.text]);
  assert.deepEqual(found, [
    ["bare", false, "model 'bare' must list its inputs in config.pbtxt: no model file says them"],
    ["good", false, undefined],
    [
      "wrong",
      false,
      "model 'wrong' parameter 'target' is 'nowhere.invalid', expected host:port, several with commas between; the gRPC " +
        "port, without http://",
    ],
  ]);
});

describe("batches", () => {
  const texts = signature({
    inputs: [spec("INPUT0", [1], "BYTES")],
    outputs: [spec("OUTPUT0", [1], "BYTES"), spec("OUTPUT1", [1], "BYTES")],
  });
  const remote = { model: "r", version: "" };
  const parameters = (entries: Readonly<Record<string, bigint>>) =>
    new Map(Object.entries(entries).map(([key, value]): [string, Parameter] => [key, { kind: "int64", value }]));

  it("of texts are joined and cut element by element", () => {
    const requests = [["a"], ["bc", "def"]].map((words) =>
      request({
        inputs: [bytes("INPUT0", [words.length, 1], words)],
        requestedOutputs: [{ name: "OUTPUT0", parameters: new Map() }],
      }),
    );
    const merged = mergeRequests(requests, texts, remote);
    assert.deepEqual(merged.inputs, [bytes("INPUT0", [3, 1], ["a", "bc", "def"])]);
    assert.deepEqual(
      merged.requestedOutputs.map(({ name }) => name),
      ["OUTPUT0"],
    );
    const answer = bytes("OUTPUT0", [3, 1], ["x", "", "yz"]);
    assert.deepEqual(
      scatterResponse([answer], ["OUTPUT0"], [1, 2], texts).map(([tensor]) => tensor?.data),
      [bytes("", [1], ["x"]).data, bytes("", [2], ["", "yz"]).data],
    );
    const cut = { ...answer, data: answer.data.subarray(0, -1) };
    assert.throws(() => scatterResponse([cut], ["OUTPUT0"], [1, 2], texts), { code: "INTERNAL" });
    assert.throws(() => scatterResponse([], ["OUTPUT0"], [1], texts), /gave no output 'OUTPUT0'/);
  });

  it("keep the parameters that all agree on, the most urgent priority and the longest timeout", () => {
    const input = bytes("INPUT0", [1, 1], ["a"]);
    const merge = (...all: Readonly<Record<string, bigint>>[]) =>
      mergeRequests(
        all.map((entries) => request({ inputs: [input], parameters: parameters(entries) })),
        texts,
        remote,
      ).parameters;
    assert.deepEqual(
      merge({ same: 1n, other: 1n, priority: 4n, timeout: 5n }, { same: 1n, other: 2n, priority: 2n, timeout: 9n }),
      parameters({ same: 1n, priority: 2n, timeout: 9n }),
    );
    assert.deepEqual(merge({ timeout: 5n }, {}), parameters({}));
    assert.deepEqual(merge({ timeout: 5n }, { timeout: 0n }), parameters({}));
    assert.deepEqual(merge({ priority: 0n }, { priority: 7n }), parameters({ priority: 7n }));
  });

  it("keep as many whole request ids as an id may be long", () => {
    const ids = ["é".repeat(400), "b".repeat(200), "c".repeat(200)];
    const requests = ids.map((id) => request({ id, inputs: [bytes("INPUT0", [1, 1], ["a"])] }));
    assert.equal(mergeRequests(requests, texts, remote).id, `${ids[0]},${ids[1]}`);
  });
});

describe("outcomes", () => {
  it("are failures only where the remote is to blame", () => {
    const blamed = Object.values(status)
      .filter((code) => typeof code === "number")
      .filter((code) => outcomeOf(new RemoteCallError(code, ""), 200, 100) === "failure");
    assert.deepEqual(blamed, [
      status.UNKNOWN,
      status.DEADLINE_EXCEEDED,
      status.INTERNAL,
      status.UNAVAILABLE,
      status.DATA_LOSS,
    ]);
    assert.equal(outcomeOf(new RemoteCallError(status.DEADLINE_EXCEEDED, ""), 99, 100), "neutral");
    assert.equal(outcomeOf(new Error("cannot be decoded"), 0, 100), "failure");
  });

  it("keep the code, or name the one that is lost", () => {
    const error = toInferenceError("m", "a:1", new RemoteCallError(status.UNAUTHENTICATED, "no token"));
    assert.deepEqual(
      [error.code, error.message],
      ["FAILED_PRECONDITION", "model 'm' on remote 'a:1': UNAUTHENTICATED: no token"],
    );
  });
});

describe("the hash of a remote model", () => {
  const tensor = { name: "x", datatype: "FP32", shape: ["-1", "2"] };
  const model: RemoteMetadata = {
    name: "giant",
    versions: ["2", "10"],
    platform: "onnxruntime_onnx",
    inputs: [tensor],
    outputs: [{ ...tensor, name: "y" }],
  };
  const hash = metadataHash([model]);

  it("is the same for every target that says the same, and with older versions beside it", () => {
    assert.match(hash, /^sha256:metadata:[0-9a-f]{64}$/);
    assert.equal(metadataHash([model, { ...model }]), hash);
    assert.equal(metadataHash([{ ...model, versions: ["10"] }]), hash);
  });

  it("tells another version, platform, shape, and a target that differs", () => {
    const others: RemoteMetadata[] = [
      { ...model, versions: ["2", "10", "11"] },
      { ...model, platform: "pytorch" },
      { ...model, inputs: [{ ...tensor, shape: ["-1", "3"] }] },
    ];
    for (const other of others) {
      assert.notEqual(metadataHash([other]), hash);
      assert.notEqual(metadataHash([model, other]), hash);
      assert.equal(metadataHash([model, other]), metadataHash([other, model]));
    }
  });
});
