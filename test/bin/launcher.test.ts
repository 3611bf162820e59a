/** The launcher under another Node, without its own Node, and with a broken installation. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { temporaryFolder } from "../server/support/model-folder.ts";
import { otherNode } from "../server/support/other-node.ts";
import { FREE_PORTS, LAUNCHER, ServedProcess } from "../server/support/served-process.ts";

const node = otherNode();

/** A package folder with the launcher and nothing else. */
function barePackage(t: TestContext): { folder: string; script: string } {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, "bin"));
  cpSync(LAUNCHER, join(folder, "bin", "hybridserve.js"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  return { folder, script: join(folder, "bin", "hybridserve.js") };
}

const EMPTY = ["--model-control-mode=explicit", ...FREE_PORTS];

test("under Node 22 the program runs in the same process", async (t) => {
  const repository = temporaryFolder(t);
  const server = new ServedProcess(t, ["serve", `--model-repository=${repository}`, ...EMPTY]);
  await server.printed(/Ready in/);
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.ended, { code: 0, signal: null });
});

test("a package without its program, or without its packages, is one clear sentence", async (t) => {
  const { folder, script } = barePackage(t);
  const built = new ServedProcess(t, ["--version"], { script });
  assert.deepEqual(await built.ended, { code: 1, signal: null });
  assert.match(built.stderr, /^hybridserve: .*main\.js is missing: .*\n$/);
  for (const part of ["server", "cli"]) mkdirSync(join(folder, part));
  writeFileSync(join(folder, "server", "main.ts"), "");
  writeFileSync(join(folder, "cli", "main.ts"), 'import "no-such-package-anywhere";\n');
  const source = new ServedProcess(t, ["--version"], { script });
  assert.deepEqual(await source.ended, { code: 1, signal: null });
  assert.match(source.stderr, /^hybridserve: its packages are not installed .*npm ci.*\n$/);
  writeFileSync(
    join(folder, "cli", "main.ts"),
    'throw Object.assign(new Error("libx.so: no"), { code: "ERR_DLOPEN_FAILED" });\n',
  );
  const native = new ServedProcess(t, ["--version"], { script });
  assert.deepEqual(await native.ended, { code: 1, signal: null });
  assert.match(native.stderr, /^hybridserve: a native library cannot be loaded: libx\.so: no.*\n$/);
});

describe("under another Node", { skip: node === undefined ? "no Node but 22 on the PATH" : false }, () => {
  const other = { node: node ?? "" };

  test("arguments and exit codes pass through", async (t) => {
    const version = new ServedProcess(t, ["--version"], other);
    assert.deepEqual(await version.ended, { code: 0, signal: null });
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
    const usage = new ServedProcess(t, ["serv"], other);
    assert.deepEqual(await usage.ended, { code: 2, signal: null });
    assert.match(usage.stderr, /did you mean "serve"/);
  });

  test("a signal reaches the server, which drains and exits 0", async (t) => {
    const repository = temporaryFolder(t);
    const server = new ServedProcess(t, ["serve", `--model-repository=${repository}`, ...EMPTY], other);
    await server.printed(/Ready in/);
    server.child.kill("SIGTERM");
    assert.deepEqual(await server.ended, { code: 0, signal: null });
    assert.match(server.stdout, /Stopping \(SIGTERM\)/);
  });

  test("the server ends when its launcher is killed", async (t) => {
    const repository = temporaryFolder(t);
    const server = new ServedProcess(t, ["serve", `--model-repository=${repository}`, ...EMPTY], other);
    await server.printed(/Ready in/);
    server.child.kill("SIGKILL");
    // The pipes close when the last process that holds them has ended: the server itself.
    assert.deepEqual(await server.ended, { code: null, signal: "SIGKILL" });
    assert.match(server.stdout, /Stopping \(SIGTERM\)/);
  });

  test("without its own Node it says which Node it needs and how to get it", async (t) => {
    const { script } = barePackage(t);
    const launcher = new ServedProcess(t, ["--version"], { ...other, script });
    assert.deepEqual(await launcher.ended, { code: 1, signal: null });
    assert.match(launcher.stderr, /^hybridserve: needs Node 22, this is Node \d+.*\n$/);
  });
});

test("onnxruntime's usage reports are off unless the user asks for them", async (t) => {
  const { folder, script } = barePackage(t);
  for (const part of ["server", "cli"]) mkdirSync(join(folder, part));
  writeFileSync(join(folder, "server", "main.ts"), "");
  const program = "export async function main(_, io) { io.stdout(process.env.ORT_DISABLE_TELEMETRY); return 0; }\n";
  writeFileSync(join(folder, "cli", "main.ts"), program);
  const launcher = new ServedProcess(t, [], { script });
  assert.deepEqual(await launcher.ended, { code: 0, signal: null });
  assert.equal(launcher.stdout, "1");
});
