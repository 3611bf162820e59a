/** Foreign clients: NVIDIA's tritonclient against the real server in explicit mode, and the Python example. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { ServerProcess } from "../../bench/server-process.ts";
import { skipWithout } from "../support/missing-tool.ts";
import { runCommand } from "../support/run-command.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PYTHON = join(ROOT, ".venv/bin/python");
const DATATYPES = [
  ...["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"],
  "STRING",
];
const DEMO = ["fashion-xs", "fashion-m", "fashion-l", "fashion"];

describe("tritonclient", { skip: skipWithout(await missingPython()) }, () => {
  let folder = "";
  let server: ServerProcess;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hybridserve-interop-"));
    const repository = join(folder, "models");
    const loaded = await writeRepository(repository);
    server = await ServerProcess.start({
      name: "interop",
      checkout: ROOT,
      repository,
      logFolder: folder,
      nodeFlags: [],
      serveFlags: [
        "--id=interop",
        `--model-repository=${join(ROOT, "examples/fashion-mnist/models")}`,
        "--model-control-mode=explicit",
        ...[...loaded, ...DEMO].map((model) => `--load-model=${model}`),
      ],
    });
  });
  after(async () => {
    await server?.stop(); // none where the start failed
    await rm(folder, { recursive: true, force: true });
  });

  it("gets what it asks for", async (t) => {
    const client = join(ROOT, "test/interop/client.py");
    const { code, stdout, stderr } = await runCommand(PYTHON, [client, `127.0.0.1:${server.grpcPort}`]);
    const results = stdout.split("\n").filter((line) => line !== "");
    for (const line of results) await report(t, JSON.parse(line) as { name: string; error: string | null });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(results.length >= 15, `only ${results.length} cases ran`);
  });

  it("runs the example client", async () => {
    const example = join(ROOT, "examples/clients/python/infer.py");
    const { code, stdout, stderr } = await runCommand(PYTHON, [example, `--url=127.0.0.1:${server.grpcPort}`]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^One request of four images:\n {2}Ankle boot +level 0 +confidence/);
    assert.equal(stdout.match(/ level \d {2}confidence/g)?.length, 4 + 4 + 4 + 8);
  });
});

/** One case of client.py as a test of its own. */
async function report(t: TestContext, result: { name: string; error: string | null }): Promise<void> {
  await t.test(result.name, () => assert.equal(result.error, null));
}

/** Writes one identity model a datatype and a few special ones; returns those to load at the start. */
async function writeRepository(repository: string): Promise<string[]> {
  const write = async (name: string, datatype: string, more = "", backend = "identity") => {
    await mkdir(join(repository, name, "1"), { recursive: true });
    const tensor = (side: string) =>
      `${side.toLowerCase()} [{ name: "${side}0" data_type: TYPE_${datatype} dims: [ -1 ] }]`;
    const config = `backend: "${backend}"\nmax_batch_size: 8\n${tensor("INPUT")}\n${tensor("OUTPUT")}\n${more}\n`;
    await writeFile(join(repository, name, "config.pbtxt"), config);
    return name;
  };
  const loaded = [];
  for (const datatype of DATATYPES) {
    const name = datatype === "STRING" ? "bytes" : datatype.toLowerCase();
    loaded.push(await write(name, datatype, "dynamic_batching { }"));
  }
  loaded.push(await write("counted", "FP32"));
  loaded.push(await write("slow", "FP32", `parameters { key: "execute_delay_ms" value { string_value: "300" } }`));
  await write("later", "FP32");
  await write("broken", "FP32", "", "onnxruntime");
  await writeFile(join(repository, "broken", "1", "model.onnx"), "this is no model");
  return loaded;
}

/** Makes the Python environment; what is missing where that fails. */
async function missingPython(): Promise<string | undefined> {
  try {
    const { code, stderr } = await runCommand(join(ROOT, "test/interop/setup.sh"), []);
    if (code === 0) return undefined;
    return `no Python environment with tritonclient (python3, python3-venv, network): ${stderr.trim().split("\n").at(-1)}`;
  } catch (error) {
    return `no bash for test/interop/setup.sh: ${(error as Error).message}`;
  }
}
