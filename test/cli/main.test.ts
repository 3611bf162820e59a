/** The dispatcher: help, version, unknown commands, exit codes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { main } from "../../cli/main.ts";

const COMMANDS = ["serve", "validate", "calibrate", "profile", "plan", "simulate", "doctor"];

async function run(...argv: string[]) {
  let stdout = "";
  let stderr = "";
  const code = await main(argv, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

test("--help lists the commands with an example; without arguments it is a mistake", async () => {
  const help = await run("--help");
  assert.equal(help.code, 0);
  for (const name of COMMANDS) assert.match(help.stdout, new RegExp(`^  ${name} `, "m"));
  assert.match(help.stdout, /Example:\n {2}hybridserve serve/);
  assert.deepEqual(await run("help"), help);
  assert.deepEqual(await run(), { code: 2, stdout: "", stderr: help.stdout });
});

test("every command has a help with an example", async () => {
  for (const name of COMMANDS) {
    const { code, stdout } = await run(name, "--help");
    assert.equal(code, 0, name);
    assert.match(stdout, new RegExp(`hybridserve ${name} `), name);
    assert.deepEqual(await run("help", name), { code, stdout, stderr: "" });
  }
});

test("every help names its exit codes, and its examples have no flag that it does not list", async () => {
  for (const name of COMMANDS) {
    const { stdout } = await run(name, "--help");
    assert.match(stdout, /^Exit codes: 0 /m, name);
    const listed = new Set([...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map((match) => match[1]));
    const examples = stdout.match(/^ {2}hybridserve .*(\n {4}--.*)*/gm) ?? [];
    assert.ok(examples.length > 0, name);
    for (const example of examples.filter((each) => each.startsWith(`  hybridserve ${name}`)))
      for (const [flag] of example.matchAll(/--[\w-]+/g)) assert.ok(listed.has(flag), `${name}: ${flag}`);
  }
});

test("a mistyped flag of a planner's command names the one that was meant", async () => {
  for (const [name, wrong, meant] of [
    ["doctor", "--device", "--devices"],
    ["profile", "--sample=3", "--samples"],
    ["plan", "--objectiv=energy", "--objective"],
    ["simulate", "--overhead-msec=1", "--overhead-ms"],
  ] as const) {
    const { code, stderr } = await run(name, wrong);
    assert.equal(code, 2, name);
    assert.ok(stderr.includes(`did you mean "${meant}"?`), stderr);
  }
});

test("--version prints the package's version", async () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  assert.deepEqual(await run("--version"), { code: 0, stdout: `${manifest.version}\n`, stderr: "" });
});

test("an unknown command is bad usage, with the one that was meant", async () => {
  const { code, stderr } = await run("serv");
  assert.equal(code, 2);
  assert.match(stderr, /unknown command "serv"; did you mean "serve"\?/);
  assert.doesNotMatch((await run("xyz")).stderr, /did you mean/);
});

test("bad flags of serve are bad usage: one line and where to read on", async () => {
  assert.deepEqual(await run("serve", "--grpc-prot=1"), {
    code: 2,
    stdout: "",
    stderr: 'hybridserve serve: unknown flag --grpc-prot; did you mean "--grpc-port"?\nSee: hybridserve serve --help\n',
  });
});
