/** GPUs that models can be placed on: found by device files and the provider's library, refused in Triton's words. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkInstanceGroups } from "../../model-repo/config/validate-instances.ts";
import { type CudaOffer, cudaOffer } from "../../model-repo/onnx-providers.ts";
import { readConfig } from "../support/model-configs.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

const LIBRARY = `bin/napi-v6/${process.platform}/${process.arch}/libonnxruntime_providers_cuda.so`;

describe("cudaOffer", () => {
  it("offers the GPUs of the machine where the provider is installed", async (t) => {
    const root = await temporaryFiles(t, {
      "dev/nvidia0": "",
      "dev/nvidia1": "",
      "dev/nvidiactl": "",
      "dev/nvidia-uvm": "",
      [`with/${LIBRARY}`]: "",
      "without/package.json": "{}",
      "empty/null": "",
    });
    const offer = (devices: string, packageFolder: string) => cudaOffer(join(root, devices), join(root, packageFolder));
    assert.deepEqual(offer("dev", "with").gpus, [0, 1]);
    const missing = offer("dev", "without");
    assert.deepEqual(missing.gpus, []);
    assert.match(missing.hint, /^this machine has a GPU, but onnxruntime-node's CUDA provider is not installed/);
    for (const devices of ["empty", "none"]) {
      const none = offer(devices, "with");
      assert.deepEqual(none.gpus, []);
      assert.match(none.hint, /^use kind: KIND_CPU/);
    }
  });
});

describe("instance groups on GPUs", () => {
  const problems = (group: string, offer: CudaOffer) =>
    checkInstanceGroups(readConfig(`backend: "onnxruntime" instance_group { name: "G" ${group} }`).config, offer);
  const two: CudaOffer = { gpus: [0, 1], hint: "hint" };

  it("are accepted on GPUs that are offered", () => {
    assert.deepEqual(problems("kind: KIND_GPU", two), []);
    assert.deepEqual(problems("kind: KIND_GPU gpus: [1, 0]", two), []);
  });

  it("are refused elsewhere, naming what there is and what to do", () => {
    const [unknown] = problems("kind: KIND_GPU gpus: [1, 2]", two);
    assert.equal(
      unknown?.text,
      "instance group G of model M specifies invalid or unsupported gpu id 2. GPUs with at least the minimum required CUDA " +
        "compute compatibility of 6.000000 are: 0 1",
    );
    assert.deepEqual([unknown?.path, unknown?.hint], ["instance_group[0].gpus[1]", "hint"]);
    const [none] = problems("kind: KIND_GPU", { gpus: [], hint: "hint" });
    assert.equal(none?.text, "instance group G of model M has kind KIND_GPU but no GPUs are available");
  });
});
