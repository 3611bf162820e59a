/** Main file of the child process that does one job about a model's graph, see jobs.ts. */
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type { GraphJobResults, GraphReply, GraphRequest } from "./jobs.ts";
import { compareStages, inferTypes, optimise, profile } from "./work.ts";

process.once("message", (request: GraphRequest) => {
  work(request).then(
    (result) => reply({ ok: true, result }),
    (error: unknown) => {
      const { code, message } = InferenceError.from(error);
      reply({ ok: false, code, message });
    },
  );
});
// The planner is gone: nobody waits.
process.once("disconnect", () => process.exit(0));

function work({ job, scratchDirectory }: GraphRequest): Promise<GraphJobResults[keyof GraphJobResults]> {
  switch (job.kind) {
    case "optimise":
      return optimise(job);
    case "types":
      return inferTypes(job);
    case "profile":
      return profile(job, scratchDirectory);
    case "compare":
      return compareStages(job);
    default:
      return assertNever(job);
  }
}

function reply(message: GraphReply): void {
  process.send?.(message, () => process.disconnect());
}
