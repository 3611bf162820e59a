/** An instance whose file is replaced while it runs. Starts and kills processes: some seconds. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { LoadedFiles } from "../../../model-repo/backends/loaded-files.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { row, startFragile, until } from "../support/process-instances.ts";

test("files are compared with what they were at the first look", async (t) => {
  const folder = await temporaryFiles(t, { "a.onnx": "a", "w.bin": "w" });
  const files = new LoadedFiles([join(folder, "a.onnx"), join(folder, "w.bin")]);
  await files.check("instance 'm_0'");
  await files.check("instance 'm_0'");
  await writeFile(join(folder, "w.bin"), "other");
  await assert.rejects(files.check("instance 'm_0'"), {
    code: "FAILED_PRECONDITION",
    message: /^instance 'm_0' is not started again: its file '.*w\.bin' is not the one that the model was loaded from;/,
  });
});

test("an instance that died is not started again from another file", async (t) => {
  const folder = await temporaryFiles(t, { "a.onnx": "a" });
  const file = join(folder, "a.onnx");
  const lines: string[] = [];
  const instance = await startFragile(lines, { files: [file] });
  t.after(() => instance.close());
  await instance.execute([row(1)]);
  process.kill(instance.report.pid ?? 0, "SIGKILL");
  await until(() => instance.report.restarts === 1);
  await instance.execute([row(1)]);
  await writeFile(file, "another model");
  process.kill(instance.report.pid ?? 0, "SIGKILL");
  await until(() => lines.some((line) => /is not started again: its file '.*a\.onnx'/.test(line)));
  assert.equal(instance.report.state, "restarting");
  assert.equal(instance.report.restarts, 1);
});
