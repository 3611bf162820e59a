/** Model repositories of identity models in temporary folders. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A folder that goes away with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hybridserve-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Adds an identity model of FP32 rows of any length, version 1. */
export function addIdentityModel(repository: string, name: string, more = ""): void {
  mkdirSync(join(repository, name, "1"), { recursive: true });
  const config = [
    `name: "${name}" backend: "identity" max_batch_size: 8`,
    'input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] }',
    'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }',
    more,
  ];
  writeFileSync(join(repository, name, "config.pbtxt"), `${config.join("\n")}\n`);
}

/** Text for `addIdentityModel`: every execution takes this long. */
export function executeDelay(ms: number): string {
  return `parameters { key: "execute_delay_ms" value { string_value: "${ms}" } }`;
}

/** A model whose configuration cannot be read. */
export function addBrokenModel(repository: string, name: string): void {
  mkdirSync(join(repository, name, "1"), { recursive: true });
  writeFileSync(join(repository, name, "config.pbtxt"), `name: "${name}" backend: "identity" nosuchfield: 1\n`);
}
