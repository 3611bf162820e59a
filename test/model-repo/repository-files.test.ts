/** What a scan sees of directories on disk. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { diskFiles } from "../../model-repo/repository-files.ts";

describe("diskFiles", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "hybridserve-test-"));
  });
  after(() => rm(root, { recursive: true, force: true }));

  it("lists directories that can be models", async () => {
    const repository = join(root, "names");
    for (const name of ["simple", "model..1", "__proto__", ".git", "a b", "bad\u202Ename"]) {
      await mkdir(join(repository, name), { recursive: true });
    }
    await writeFile(join(repository, "README"), "");
    await symlink(join(repository, "simple"), join(repository, "linked"));
    const { models, ignored } = await diskFiles.list([repository]);
    assert.deepEqual([...models.keys()].sort(), ["__proto__", "linked", "model..1", "simple"]);
    assert.deepEqual([...ignored].sort(), [join(repository, "a b"), join(repository, "bad\u202Ename")].sort());
  });

  it("marks names that two repositories share or that differ in case only", async () => {
    for (const path of ["r1/twice", "r2/twice", "r1/Case", "r2/case", "r2/once"]) {
      await mkdir(join(root, path), { recursive: true });
    }
    const { models } = await diskFiles.list([join(root, "r1"), join(root, "r2")]);
    assert.equal(models.get("twice")?.problem, "model appears in two or more repositories");
    assert.equal(models.get("Case")?.problem, "model names 'Case' and 'case' differ only in letter case");
    assert.equal(models.get("case")?.problem, models.get("Case")?.problem);
    assert.equal(models.get("once")?.problem, undefined);
  });

  it("does not take a missing repository for an empty one", async () => {
    await assert.rejects(diskFiles.list([join(root, "nowhere")]), {
      code: "NOT_FOUND",
      message: /failed to read model repository '.*nowhere'.*--model-repository/,
    });
  });

  it("fingerprints versions apart from the rest", async () => {
    const model = join(root, "fingerprint", "m");
    await mkdir(join(model, "1"), { recursive: true });
    await writeFile(join(model, "config.pbtxt"), "a");
    await writeFile(join(model, "1", "model.onnx"), "a");
    const first = await diskFiles.fingerprint(model);
    assert.deepEqual(await diskFiles.fingerprint(model), first);

    await writeFile(join(model, "1", "model.onnx"), "ab");
    const second = await diskFiles.fingerprint(model);
    assert.equal(second.config, first.config);
    assert.notEqual(second.versions.get(1), first.versions.get(1));

    await mkdir(join(model, "2"));
    await writeFile(join(model, "labels.txt"), "x");
    const third = await diskFiles.fingerprint(model);
    assert.notEqual(third.config, second.config);
    assert.deepEqual([...third.versions.keys()], [1, 2]);
    assert.equal(third.versions.get(1), second.versions.get(1));
  });

  it("ends in a loop of links", async () => {
    const model = join(root, "loop", "m");
    await mkdir(join(model, "1"), { recursive: true });
    await symlink(join(model, "1"), join(model, "1", "self"));
    assert.equal((await diskFiles.fingerprint(model)).versions.get(1)?.includes("self/"), true);
  });
});
