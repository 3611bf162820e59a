/** docs/dependencies.md names exactly the packages of package.json, with their versions. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const ROOT = new URL("../../", import.meta.url);

test("docs/dependencies.md lists every package with its version, and no other", async () => {
  const manifest = JSON.parse(await readFile(new URL("package.json", ROOT), "utf8")) as Record<
    "dependencies" | "optionalDependencies" | "devDependencies",
    Record<string, string>
  >;
  const named = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies };
  const table = await readFile(new URL("docs/dependencies.md", ROOT), "utf8");
  const rows = [...table.matchAll(/^\| ([@a-z][\w@/-]+) \| (\d[\w.]*) \|/gm)].map(([, name, version]) => [
    name,
    version,
  ]);
  assert.deepEqual(Object.fromEntries(rows), named);
  assert.equal(rows.length, Object.keys(named).length);
});
