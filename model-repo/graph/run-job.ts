/** Runs one job about a model's graph in a child process, see jobs.ts. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { InferenceError } from "../../proto/errors.ts";
import type { GraphJob, GraphJobResults, GraphReply } from "./jobs.ts";

export interface GraphJobOptions {
  /** Ends the job; the process is killed, in a run or not. */
  readonly signal?: AbortSignal;
}

/** Most of what the child's last words may be in an error. */
const MAX_ERROR_TEXT = 500;

/**
 * Resolves with the child's answer; rejects with its error, with UNAVAILABLE where the process ended without one and
 * with CANCELLED where the signal ended it.
 */
export function runGraphJob<Kind extends GraphJob["kind"]>(
  job: GraphJob & { readonly kind: Kind },
  { signal }: GraphJobOptions = {},
): Promise<GraphJobResults[Kind]> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled(job));
    const child = fork(childFile(), [], {
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
    child.on("error", (error) => reject(new InferenceError("UNAVAILABLE", `${label(job)}: ${error.message}`)));
    child.on("close", (code, ended) => {
      signal?.removeEventListener("abort", kill);
      // The child answers a job of this kind with this kind's result.
      if (reply?.ok) return resolve(reply.result as GraphJobResults[Kind]);
      if (reply !== undefined) return reject(new InferenceError(reply.code, reply.message));
      if (signal?.aborted) return reject(cancelled(job));
      const end = ended === null ? `exit code ${code}` : ended;
      const words = lastWords.trim() === "" ? "" : `; its last words: ${lastWords.trim()}`;
      reject(new InferenceError("UNAVAILABLE", `${label(job)}: the process ended without an answer (${end})${words}`));
    });
    child.send(job);
  });
}

function label(job: GraphJob): string {
  return `${job.kind} '${job.kind === "compare" ? job.whole.modelPath : job.modelPath}'`;
}

function cancelled(job: GraphJob): InferenceError {
  return new InferenceError("CANCELLED", `${label(job)} was stopped`);
}

/** The child's main file beside this one: TypeScript in a checkout, JavaScript in the built package. */
function childFile(): string {
  return fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "./graph-child.ts" : "./graph-child.js", import.meta.url),
  );
}
