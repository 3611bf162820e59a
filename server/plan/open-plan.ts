/** Reads a plan and looks whether it fits the machine and the repository. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { hostname, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { levelHash } from "../../model-repo/backends/certificate-hash.ts";
import { describeOnnxRuntime } from "../../model-repo/onnx-providers.ts";
import { usableCores } from "../../model-repo/usable-cores.ts";
import { checkPlan } from "../../planner/plan-check.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { canonicalJson, textHash } from "../../proto/files/policy-hash.ts";
import { readPlanFile } from "../../proto/files/read-plan-file.ts";
import { PlanPlacements } from "./plan-placements.ts";
import { filesOf, PlanError, type PlanFacts, planProblem } from "./plan-problem.ts";

/** The placements of `file`, checked; rejects with a PlanError that names what does not fit and what to do. */
export async function openPlan(file: string, repositories: readonly string[]): Promise<PlanPlacements> {
  const plan = await readPlan(file);
  const directory = dirname(resolve(file));
  const [inconsistency] = checkPlan(plan);
  if (inconsistency !== undefined) {
    throw new PlanError(
      "PLAN_INCONSISTENT",
      `${file}: ${inconsistency}; make the plan anew: ${plan.provenance.command}`,
    );
  }
  const problem = planProblem(plan, await gatherFacts(plan, directory, repositories));
  if (problem !== undefined) throw problem;
  return new PlanPlacements(plan, directory);
}

async function readPlan(file: string): Promise<PlanFile> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new PlanError(
      "PLAN_INVALID",
      `cannot read the plan: ${error instanceof Error ? error.message : String(error)}; hybridserve plan writes it`,
    );
  }
  try {
    return readPlanFile(text, file);
  } catch (error) {
    throw new PlanError("PLAN_INVALID", InferenceError.from(error).message);
  }
}

async function gatherFacts(plan: PlanFile, directory: string, repositories: readonly string[]): Promise<PlanFacts> {
  const runtime = await describeOnnxRuntime();
  const cuda = runtime.providers.find((provider) => provider.name === "cuda");
  const modelHashes = new Map<string, string>();
  for (const { name, version } of [...plan.models, ...(plan.cascade === null ? [] : [plan.cascade])]) {
    modelHashes.set(`${name}/${version}`, await hashOfModel(repositories, name, version));
  }
  const fileHashes = new Map<string, string>();
  for (const { path } of filesOf(plan)) fileHashes.set(path, await hashOfFile(join(directory, path)));
  return {
    onnxruntime: runtime.version,
    cores: await usableCores(),
    // Of the machine, or what the container leaves of it; 0: not known.
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    cudaProblem:
      cuda === undefined || cuda.state === "missing"
        ? "onnxruntime-node has no CUDA provider here; hybridserve doctor tells how to install it"
        : undefined,
    nodes: new Set(["local", hostname()]),
    modelHashes,
    fileHashes,
    profileHash: await hashOfProfile(join(directory, "profile.json")),
  };
}

async function hashOfModel(repositories: readonly string[], name: string, version: string): Promise<string> {
  for (const repository of repositories) {
    const directory = join(repository, name, version);
    const found = await stat(directory).catch(() => undefined);
    if (found?.isDirectory() === true) return levelHash(directory);
  }
  return "";
}

/** "" where the file cannot be read, which is what its check reports. */
async function hashOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return "";
  }
  return `sha256:${hash.digest("hex")}`;
}

/** A profile that is not JSON any more counts as another one. */
async function hashOfProfile(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    return textHash(canonicalJson(JSON.parse(text)));
  } catch {
    return textHash(text);
  }
}
