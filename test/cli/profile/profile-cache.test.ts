import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ProfileCache } from "../../../cli/profile/profile-cache.ts";
import type { JsonField } from "../../../proto/files/json-field.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const readValue = (field: JsonField) => field.object(["value"]).get("value").number();

describe("ProfileCache", () => {
  it("gives what was kept under the very key", async (context) => {
    const folder = await temporaryFiles(context, {});
    const cache = new ProfileCache(join(folder, "new"), assert.fail);
    assert.equal(await cache.get({ a: 1 }, readValue), undefined);
    await cache.put({ a: 1, b: { c: 2, d: 3 } }, { value: 7 });
    assert.equal(await cache.get({ b: { d: 3, c: 2 }, a: 1 }, readValue), 7);
    assert.equal(await cache.get({ b: { d: 3, c: 1 }, a: 1 }, readValue), undefined);
    assert.equal((await readdir(join(folder, "new"))).length, 1);
  });

  it("warns of a damaged entry, which is measured again", async (context) => {
    const folder = await temporaryFiles(context, {});
    const warnings: string[] = [];
    const cache = new ProfileCache(folder, (text) => warnings.push(text));
    await cache.put({ a: 1 }, { value: 7 });
    const [file = ""] = await readdir(folder);
    for (const damaged of ['{"val', '{"value":"seven"}']) {
      await writeFile(join(folder, file), damaged);
      assert.equal(await cache.get({ a: 1 }, readValue), undefined);
    }
    assert.equal(warnings.length, 2);
    assert.match(warnings[0] ?? "", /^warning: it is measured again: .*\.json: not valid JSON/);
    assert.match(warnings[1] ?? "", /value must be/);
  });

  it("keeps nothing without a directory", async () => {
    const cache = new ProfileCache("", assert.fail);
    await cache.put({ a: 1 }, { value: 7 });
    assert.equal(await cache.get({ a: 1 }, readValue), undefined);
  });
});
