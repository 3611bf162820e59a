/** Runs one job about a model's graph in a child process, see jobs.ts. */
import { fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceError } from "../../proto/errors.ts";
import type { GraphJob, GraphJobResults, GraphReply, GraphRequest } from "./jobs.ts";

export interface GraphJobOptions {
  /** Ends the job; the process is killed, in a run or not. */
  readonly signal?: AbortSignal;
  /** Another main file for the child; tests pass one that misbehaves. */
  readonly childUrl?: URL;
}

/** Most of what the child's last words may be in an error. */
const MAX_ERROR_TEXT = 500;

/**
 * Resolves with the child's answer; rejects with its error, with UNAVAILABLE where the process ended without one and
 * with CANCELLED where the signal ended it.
 */
export async function runGraphJob<Kind extends GraphJob["kind"]>(
  job: GraphJob & { readonly kind: Kind },
  options: GraphJobOptions = {},
): Promise<GraphJobResults[Kind]> {
  if (options.signal?.aborted) throw cancelled(job);
  // Made and removed here: a child that is killed removes nothing.
  const scratchDirectory = await mkdtemp(join(tmpdir(), "hybridserve-graph-"));
  try {
    const reply = await ask({ job, scratchDirectory }, options);
    if (!reply.ok) throw new InferenceError(reply.code, reply.message);
    // The child answers a job of this kind with this kind's result.
    return reply.result as GraphJobResults[Kind];
  } finally {
    await rm(scratchDirectory, { recursive: true, force: true });
  }
}

function ask(request: GraphRequest, { signal, childUrl = graphChildUrl() }: GraphJobOptions): Promise<GraphReply> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(childUrl), [], {
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let reply: GraphReply | undefined;
    let lastWords = "";
    const kill = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", kill, { once: true });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      lastWords = (lastWords + text).slice(-MAX_ERROR_TEXT);
    });
    child.on("message", (message: GraphReply) => {
      reply = message;
    });
    const fail = (what: string) => reject(new InferenceError("UNAVAILABLE", `${label(request.job)}: ${what}`));
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, ended) => {
      signal?.removeEventListener("abort", kill);
      if (reply !== undefined) return resolve(reply);
      if (signal?.aborted) return reject(cancelled(request.job));
      const words = lastWords.trim() === "" ? "" : `; its last words: ${lastWords.trim()}`;
      fail(`the process ended without an answer (${ended ?? `exit code ${code}`})${words}`);
    });
    child.send(request);
  });
}

function label(job: GraphJob): string {
  return `${job.kind} '${job.kind === "compare" ? job.whole.modelPath : job.modelPath}'`;
}

function cancelled(job: GraphJob): InferenceError {
  return new InferenceError("CANCELLED", `${label(job)} was stopped`);
}

/** The child's main file beside this one: TypeScript in a checkout, JavaScript in the built package. */
function graphChildUrl(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./graph-child.ts" : "./graph-child.js", import.meta.url);
}
