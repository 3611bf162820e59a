/** A certified cascade over real levels: loaded, replaced, reloaded; what repository, banner and metrics say. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { levelHash } from "../../model-repo/backends/certificate-hash.ts";
import { ServedCascade } from "../../model-repo/backends/served-cascade.ts";
import { ModelRepository } from "../../model-repo/repository.ts";
import { writeNpz } from "../../proto/files/npz.ts";
import { policyHash } from "../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import { SystemClock } from "../../scheduler/clock.ts";
import { certificateLines } from "../../server/banner.ts";
import { renderMetrics } from "../../server/metrics.ts";
import { certificate } from "../support/cascades.ts";
import { node, onnxModel, tensorInfo } from "../support/onnx-writer.ts";
import { temporaryFiles } from "../support/temporary-files.ts";
import { fp32, request } from "../support/tensors.ts";

/** A level that answers its input, or minus its input. */
function levelModel(operator: "Identity" | "Neg"): Uint8Array {
  return onnxModel({
    nodes: [node(operator, ["x"], ["scores"])],
    inputs: [tensorInfo("x", "FP32", ["n", 2])],
    outputs: [tensorInfo("scores", "FP32", ["n", 2])],
  });
}

const CONFIG = `backend: "cascade" max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: 2 }
output { name: "scores" data_type: TYPE_FP32 dims: 2 }`;

function cascadeJson(levelHashes: readonly string[]): string {
  const confidence = { function: "max_prob", kind: "logits", outputs: { scores: "scores" } };
  const point = (name: string, accept: number, hash: string | undefined) => {
    return { name, gates: [{ accept }], certificate: hash === undefined ? null : certificate(hash) };
  };
  const json = (hash: string | undefined) =>
    JSON.stringify({
      formatVersion: 1,
      levels: ["small", "giant"].map((model) => ({ model, confidence })),
      operatingPoints: [point("AP", 0.9, hash), point("EO", 0.5, undefined)],
      default: "AP",
      calibration: { levelHashes, provider: "cpu", createdAt: "2026-01-01T00:00:00Z", command: "test" },
    });
  const file = parseCascadeFile(json(undefined), "cascade.json");
  const [ap] = file.operatingPoints;
  assert.ok(ap);
  return json(policyHash(file, ap));
}

async function serve(t: TestContext, withGolden: boolean) {
  const rows = fp32("", [5, 2], [4, 0, 0, 1, 0.2, 0, 3, -3, 0, 0]);
  const root = await temporaryFiles(t, {
    "small/1/model.onnx": levelModel("Identity"),
    "giant/1/model.onnx": levelModel("Identity"),
    "M/config.pbtxt": CONFIG,
    "M/1/": "",
  });
  const hashes = await Promise.all(["small", "giant"].map((name) => levelHash(join(root, name, "1"))));
  await writeFile(join(root, "M/1/cascade.json"), cascadeJson(hashes));
  const golden = new Map(["input:x", "level0:scores", "level1:scores"].map((name) => [name, rows]));
  if (withGolden) await writeFile(join(root, "M/1/golden.npz"), writeNpz(golden));
  const warnings: string[] = [];
  const log = { info: () => undefined, warn: (_: object, text: string) => warnings.push(text), error: () => undefined };
  const repository = new ModelRepository({
    repositories: [root],
    controlMode: "explicit",
    pollSeconds: 0,
    loadModels: ["*"],
    autoComplete: true,
    backendConfig: new Map(),
    loadThreadCount: 2,
    loadRetryCount: 0,
    allowUncertified: false,
    allowMassUnload: false,
    maxQueuedRequests: 0,
    clock: new SystemClock(),
    log,
  });
  t.after(() => repository.close());
  assert.deepEqual((await repository.start()).failures, []);
  const cascade = (): ServedCascade => {
    const model = repository.lookup("M", "");
    assert.ok(model instanceof ServedCascade);
    return model;
  };
  const metrics = () =>
    renderMetrics({
      models: [...repository.loaded()],
      machine: undefined,
      process: { residentBytes: 0, cpuSeconds: 0 },
    });
  return { root, repository, cascade, metrics, warnings };
}

it("is valid with its levels and golden rows; a changed level makes it void and leaves the last level", async (t) => {
  const { root, repository, cascade, metrics, warnings } = await serve(t, true);
  assert.deepEqual(cascade().certificates.get("AP"), { state: "valid", reason: "" });
  assert.deepEqual([cascade().operatingPoint, [...cascade().selectable]], ["AP", ["AP"]]);
  assert.deepEqual([certificateLines([...repository.loaded()]), warnings], ["", []]);
  const rows = request({ modelName: "M", inputs: [fp32("x", [2, 2], [4, 0, 0.2, 0])] });
  await cascade().infer(rows);
  const text = await metrics();
  for (const line of [
    'hybridserve_certificate_state{model="M",version="1",operating_point="AP",state="valid"} 1',
    'hybridserve_certificate_state{model="M",version="1",operating_point="AP",state="void"} 0',
    'hybridserve_certificate_state{model="M",version="1",operating_point="EO",state="uncertified"} 1',
    'hybridserve_cascade_operating_point{model="M",version="1",operating_point="AP"} 1',
    'hybridserve_cascade_gear{model="M",version="1"} 0',
    "# TYPE hybridserve_cascade_arrival_rate gauge",
    'hybridserve_cascade_rows_total{model="M",version="1",level="0",destination="0"} 1',
    'hybridserve_cascade_rows_total{model="M",version="1",level="0",destination="1"} 1',
    'hybridserve_cascade_rows_total{model="M",version="1",level="1",destination="1"} 1',
    'hybridserve_cascade_confidence_bucket{model="M",version="1",level="0",le="0.55"} 1',
    'hybridserve_cascade_confidence_bucket{model="M",version="1",level="0",le="+Inf"} 2',
    'hybridserve_cascade_escalations_total{model="M",version="1",reason="confidence"} 1',
    'hybridserve_cascade_disagreement_bound{model="M",version="1"} 0.024',
  ]) {
    assert.ok(text.split("\n").includes(line), `${line}\nis missing in\n${text}`);
  }
  const arrivals = /^hybridserve_cascade_arrival_rate\{model="M",version="1"\} (\S+)$/m.exec(text)?.[1];
  const rate = Number(arrivals); // one request, of the last five seconds or of the time since the load
  assert.ok(rate > 0.1 && rate <= 1, `${arrivals} requests a second`);
  assert.doesNotMatch(text, /hybridserve_breaker|level="1",destination="0"/);

  await writeFile(join(root, "giant/1/model.onnx"), levelModel("Neg"));
  await repository.load("giant", new Map());
  assert.equal(cascade().certificates.get("AP")?.state, "void");
  assert.deepEqual([cascade().operatingPoint, [...cascade().selectable]], ["last-level-only", ["last-level-only"]]);
  assert.match(
    certificateLines([...repository.loaded()]),
    /^Warning: M version 1, operating point AP .*certificate void/,
  );
  assert.match(warnings.join("\n"), /level 1 \('giant'\) is not the model that was calibrated/);
  const answer = await cascade().infer(rows);
  assert.deepEqual(answer.parameters.get("cascade_rows_per_level"), { kind: "string", value: "0,2" });
  assert.match(await metrics(), /operating_point="AP",state="void"\} 1/);

  await repository.unload("M", new Map());
  assert.doesNotMatch(await metrics(), /hybridserve_(cascade|certificate)/);
});

it("is unverified without golden rows, and serves", async (t) => {
  const { repository, cascade, warnings } = await serve(t, false);
  assert.equal(cascade().certificates.get("AP")?.state, "unverified");
  assert.equal(cascade().operatingPoint, "AP");
  assert.match(warnings.join("\n"), /is unverified: there is no golden.npz beside cascade.json/);
  assert.match(certificateLines([...repository.loaded()]), /operating point AP \(serves\): certificate unverified: /);
});
