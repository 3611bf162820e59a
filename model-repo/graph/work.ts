/** The jobs of jobs.ts, in the process that does them. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-node";
import { InferenceError } from "../../proto/errors.ts";
import type { GraphTensorType } from "../../proto/onnx/graph.ts";
import { readGraph } from "../../proto/onnx/read-graph.ts";
import { joinChunks, uniqueNodeNames, withNodeNames, withOutputs } from "../../proto/onnx/write-graph.ts";
import type {
  CompareJob,
  CompareResult,
  OptimiseJob,
  ProfileJob,
  ProfileResult,
  TypesJob,
  TypesResult,
} from "./jobs.ts";
import { medianRunMs, nodeTimes } from "./node-times.ts";
import { outputDifference } from "./output-difference.ts";
import { openSession, runSession } from "./session.ts";

/** Saves the graph as onnxruntime's optimiser leaves it. */
export async function optimise(job: OptimiseJob): Promise<Record<never, never>> {
  const weights =
    job.weightsFile === undefined
      ? {}
      : {
          "session.optimized_model_external_initializers_file_name": job.weightsFile,
          "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
        };
  const session = await openSession(job.modelPath, job, job.level, {
    optimizedModelFilePath: job.outputPath,
    extra: weights,
  });
  await session.release();
  return {};
}

/** Tensors fetched in one run: all at once could be every activation of a model. */
const FETCHED_TOGETHER = 64;

/**
 * Types of tensors inside the graph: those that the runtime infers with its names of open sizes, corrected by a run.
 * A shape `[]` in its metadata is a scalar or a rank that it does not know (planner.md 1.3).
 */
export async function inferTypes(job: TypesJob): Promise<TypesResult> {
  const types = new Map<string, GraphTensorType>();
  const bytes = new Map<string, number>();
  const unpassable = new Set<string>();
  await withTypedSessions(job, unpassable, async (session, names) => {
    const declared = new Map(session.outputMetadata.map((metadata) => [metadata.name, metadata]));
    const tensors = names.filter((name) => declared.get(name)?.isTensor);
    for (const name of names) if (!tensors.includes(name)) unpassable.add(name);
    for (let i = 0; i < tensors.length; i += FETCHED_TOGETHER) {
      const results = await runSession(session, job.feed, tensors.slice(i, i + FETCHED_TOGETHER));
      for (const tensor of results) {
        const metadata = declared.get(tensor.name);
        const shape = metadata?.isTensor ? metadata.shape : [];
        types.set(tensor.name, { datatype: tensor.datatype, shape: confirmedShape(shape, tensor.shape) });
        bytes.set(tensor.name, tensor.data.byteLength);
      }
    }
  });
  return { types, bytes, unpassable };
}

/** Time of each node from the runtime's own profile of a graph that is run as it is. */
export async function profile(job: ProfileJob, scratchDirectory: string): Promise<ProfileResult> {
  const graph = readGraph(await readFile(job.modelPath), job.modelPath);
  const session = await openSession(joinChunks(withNodeNames(graph)), job, "disabled", {
    intraOpNumThreads: job.threads,
    enableProfiling: true,
    profileFilePrefix: join(scratchDirectory, "profile"),
  });
  for (let run = 0; run < job.warmUpRuns + job.runs; run++) await runSession(session, job.feed);
  session.endProfiling();
  await session.release();
  const [file] = await readdir(scratchDirectory);
  if (file === undefined) throw new InferenceError("INTERNAL", `no profile of '${job.modelPath}' was written`);
  const events: unknown = JSON.parse(await readFile(join(scratchDirectory, file), "utf8"));
  const nodeMs = nodeTimes(events, uniqueNodeNames(graph), job);
  if (nodeMs.every((ms) => ms === undefined)) {
    throw new InferenceError("INTERNAL", `the profile of '${job.modelPath}' names none of its nodes`);
  }
  return { nodeMs, runMs: medianRunMs(events, job) };
}

/** Runs a whole model and its stages on the same input and tells how far the outputs are apart. */
export async function compareStages(job: CompareJob): Promise<CompareResult> {
  const whole = await openSession(job.whole.modelPath, job.whole, job.whole.level);
  const expected = await runSession(whole, job.feed);
  await whole.release();
  const known = new Map(job.feed.map((tensor) => [tensor.name, tensor]));
  for (const stage of job.stages) {
    const session = await openSession(stage.modelPath, stage, job.stageLevel);
    const inputs = session.inputNames.map((name) => {
      const tensor = known.get(name);
      if (tensor !== undefined) return tensor;
      throw new InferenceError("INVALID_ARGUMENT", `stage '${stage.modelPath}' reads '${name}', which nothing gives`);
    });
    for (const tensor of await runSession(session, inputs)) {
      known.set(tensor.name, tensor);
    }
    await session.release();
  }
  return { expected, outputs: expected.map((tensor) => outputDifference(tensor, known.get(tensor.name))) };
}

/**
 * Calls `use` with sessions whose outputs include the names: one session, or several where some name has elements that
 * the binding does not know and so refuses the whole session; such names go to `unpassable`.
 */
async function withTypedSessions(
  job: TypesJob,
  unpassable: Set<string>,
  use: (session: InferenceSession, names: readonly string[]) => Promise<void>,
): Promise<void> {
  const graph = readGraph(await readFile(job.modelPath), job.modelPath);
  const openAll = async (names: readonly string[]): Promise<void> => {
    if (names.length === 0) return;
    let session: InferenceSession;
    try {
      session = await openSession(joinChunks(withOutputs(graph, names)), job, "disabled");
    } catch (error) {
      if (!UNKNOWN_ELEMENTS.test(InferenceError.from(error).message)) throw error;
      if (names.length === 1) {
        for (const name of names) unpassable.add(name);
        return;
      }
      await openAll(names.slice(0, names.length / 2));
      await openAll(names.slice(names.length / 2));
      return;
    }
    await use(session, names);
    await session.release();
  };
  await openAll(job.names);
}

/** As `open` refuses tensors of types that the binding does not know. */
const UNKNOWN_ELEMENTS = /Unsupported data type|has BF16 inputs or outputs/;

/** The declared shape where a run agrees with its rank; else that rank with open sizes. */
function confirmedShape(declared: readonly (number | string)[], found: readonly number[]): (number | string | null)[] {
  if (declared.length !== found.length) return found.map(() => null);
  return declared.map((dim) => (dim === "" || (typeof dim === "number" && dim < 0) ? null : dim));
}
