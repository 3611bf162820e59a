/** The package as published: built, packed, installed in an empty folder without install scripts, run. */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { ServerProcess } from "../../bench/server-process.ts";
import { IMAGE_SIDE, imageBytes, readTestSet } from "../../examples/fashion-mnist/dataset.ts";
import { InferClient } from "../support/infer.ts";
import { skipWithout } from "../support/missing-tool.ts";
import { type Ended, runCommand } from "../support/run-command.ts";
import { integers } from "../support/tensors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What the package is made from; a copy of it is built, so that the working tree stays as it is. */
const SOURCES = [
  ...["package.json", "package-lock.json", ".npmrc", "tsconfig.json", "tsconfig.build.json"],
  ...["LICENSE", "README.md", "CHANGELOG.md"],
  ...["bin", "proto", "scheduler", "model-repo", "planner", "server", "cli"],
];
const NETWORK_FAILURE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED|network/;

interface PackReport {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

describe("the package", () => {
  let folder = "";
  let packed: PackReport;
  let missing: string | undefined;
  const app = () => join(folder, "app");

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hybridserve-package-"));
    const stage = join(folder, "stage");
    for (const source of SOURCES) await copyIfThere(join(ROOT, source), join(stage, source));
    await symlink(join(ROOT, "node_modules"), join(stage, "node_modules"));
    await npm(stage, "run", "build");
    [packed] = JSON.parse((await npm(stage, "pack", "--json", "--pack-destination", folder)).stdout) as [PackReport];
    await mkdir(app());
    await writeFile(join(app(), "package.json"), `{ "private": true }\n`);
    const install = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
    const { code, stderr } = await runNpm(app(), ...install, join(folder, packed.filename));
    if (code !== 0 && NETWORK_FAILURE.test(stderr)) missing = "the npm registry cannot be reached";
    else assert.equal(code, 0, stderr);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Runs the installed command as a shell would, with whatever Node is on the PATH. */
  function hybridserve(...parameters: string[]): Promise<Ended> {
    return runCommand(join(app(), "node_modules/.bin/hybridserve"), parameters);
  }

  function skipped(t: TestContext): boolean {
    const reason = skipWithout(missing);
    if (reason !== false) t.skip(reason);
    return reason !== false;
  }

  it("ships the program, the protocol and the papers, and nothing else", () => {
    const paths = packed.files.map((file) => file.path);
    for (const path of ["LICENSE", "README.md", "bin/hybridserve.js", "dist/cli/main.js", "dist/server/main.js"]) {
      assert.ok(paths.includes(path), `${path} is missing`);
    }
    for (const path of paths) {
      assert.match(
        path,
        /^(LICENSE|README\.md|CHANGELOG\.md|package\.json|bin\/[\w-]+\.js|dist\/.+\.js|proto\/.+\.proto)$/,
      );
    }
  });

  it("answers --help and --version", async (t) => {
    if (skipped(t)) return;
    const help = await hybridserve("--help");
    assert.deepEqual([help.code, help.stderr], [0, ""]);
    assert.match(help.stdout, /^Usage: hybridserve COMMAND/);
    assert.match((await hybridserve("--version")).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it("serves ONNX models", async (t) => {
    if (skipped(t)) return;
    const server = await ServerProcess.start({
      name: "installed",
      checkout: join(app(), "node_modules/hybridserve"),
      repository: join(ROOT, "examples/fashion-mnist/models"),
      logFolder: folder,
      nodeFlags: [],
    });
    const client = new InferClient(server.grpcPort);
    try {
      const data = imageBytes(readTestSet(), 0, 4);
      const response = await client.infer("fashion", [
        { name: "image", datatype: "FP32", shape: [4, 1, IMAGE_SIDE, IMAGE_SIDE], data },
      ]);
      const levels = integers(response.outputs.find((tensor) => tensor.name === "CASCADE_LEVEL"));
      assert.equal(levels.length, 4);
      assert.equal(levels[0], 0);
    } finally {
      client.close();
      await server.stop();
    }
  });
});

async function copyIfThere(from: string, to: string): Promise<void> {
  try {
    await cp(from, to, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function runNpm(cwd: string, ...parameters: string[]): Promise<Ended> {
  return runCommand("npm", parameters, { cwd });
}

async function npm(cwd: string, ...parameters: string[]): Promise<Ended> {
  const ended = await runNpm(cwd, ...parameters);
  assert.equal(ended.code, 0, `npm ${parameters.join(" ")}: ${ended.stdout}${ended.stderr}`);
  return ended;
}
