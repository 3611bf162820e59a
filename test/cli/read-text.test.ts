/** Texts for files that flags name and that cannot be read. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readText } from "../../cli/read-text.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

test("a file is read; a missing one and a folder are named, with where such a file comes from", async (context) => {
  const folder = await temporaryFiles(context, { "a.json": "{}" });
  assert.equal(await readText(join(folder, "a.json"), "--plan"), "{}");
  const missing = join(folder, "b.json");
  await assert.rejects(readText(missing, "--profile"), {
    code: "NOT_FOUND",
    message: `--profile: there is no file '${missing}'; hybridserve profile writes it`,
  });
  await assert.rejects(readText(missing, "--other"), { message: `--other: there is no file '${missing}'` });
  await assert.rejects(readText(folder, "--plan"), {
    message: `--plan: '${folder}' is a folder, name the file; hybridserve plan writes it`,
  });
});
