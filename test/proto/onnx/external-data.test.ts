import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkExternalData } from "../../../proto/onnx/external-data.ts";
import { readModelBytes } from "../../../proto/onnx/read-model.ts";
import { externalTensor, onnxModel } from "../../support/onnx-writer.ts";

describe("checkExternalData", () => {
  let root = "";
  let directory = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "external-"));
    directory = join(root, "1");
    await mkdir(join(directory, "parts"), { recursive: true });
    await writeFile(join(root, "outside.bin"), Buffer.alloc(64));
    await writeFile(join(directory, "w.bin"), Buffer.alloc(64));
    await writeFile(join(directory, "parts", "p.bin"), Buffer.alloc(64));
    await symlink(join(root, "outside.bin"), join(directory, "link.bin"));
    await symlink(join(directory, "w.bin"), join(directory, "inner-link.bin"));
    await symlink(root, join(directory, "linked-directory"));
  });
  after(() => rm(root, { recursive: true }));

  async function check(location: string, offset?: number, length?: number): Promise<void> {
    const where = {
      location,
      ...(offset === undefined ? {} : { offset }),
      ...(length === undefined ? {} : { length }),
    };
    const bytes = onnxModel({
      nodes: [],
      inputs: [],
      outputs: [],
      initializers: [externalTensor("weights", "FP32", [16], where)],
    });
    await checkExternalData(await readModelBytes(bytes, "m"), join(directory, "model.onnx"));
  }

  it("takes files beside the model, in folders below it, and links that stay inside", async () => {
    for (const location of ["w.bin", "./w.bin", "parts/p.bin", "inner-link.bin"]) await check(location, 0, 64);
  });

  const refusals: readonly (readonly [string, RegExp])[] = [
    ["../outside.bin", /the path contains '\.\.'; data must lie beside the model/],
    ["parts/../../outside.bin", /contains '\.\.'/],
    ["..\\outside.bin", /contains '\.\.'/],
    ["/etc/passwd", /the path is absolute/],
    ["C:\\weights.bin", /the path is absolute/],
    ["\\\\host\\share", /the path is absolute/],
    ["link.bin", /a symbolic link leads out of the model's directory, to '.*outside\.bin'/],
    ["linked-directory/outside.bin", /a symbolic link leads out/],
    ["*/_ORT_MEM_ADDR_/*", /it stands for a memory address/],
    ["w.bin\0.txt", /NUL/],
    ["", /it names no file/],
    ["parts", /it is not a file/],
  ];
  for (const [location, reason] of refusals) {
    it(`refuses ${JSON.stringify(location)}, naming file, tensor and reason`, async () => {
      await assert.rejects(check(location), (error: Error & { code: string }) => {
        assert.equal(error.code, "INVALID_ARGUMENT");
        assert.match(error.message, reason);
        assert.ok(error.message.includes(`external data of tensor 'weights' in '${join(directory, "model.onnx")}'`));
        return true;
      });
    });
  }

  it("says which file is missing", async () => {
    await assert.rejects(check("gone.bin"), {
      code: "UNAVAILABLE",
      message: /unable to find '.*gone\.bin', the external/,
    });
  });

  it("refuses data beyond the end of the file", async () => {
    await check("w.bin", 32, 32);
    await assert.rejects(check("w.bin", 32, 33), {
      message: /bytes 32 to 65 of a file of 64 bytes; is the copy complete/,
    });
    await assert.rejects(check("w.bin", 65), { message: /of a file of 64 bytes/ });
  });
});
