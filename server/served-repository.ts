/** What the front ends need of the model repository, and of the server's own state; tests put a Map in its place. */
import type { ModelRepository } from "../model-repo/repository.ts";

export type ServedRepository = Pick<
  ModelRepository,
  "find" | "lookup" | "config" | "readyVersions" | "isModelReady" | "index" | "load" | "unload" | "loaded"
>;

/** Whether the server lives and takes requests; a stopping server lives and is not ready. */
export interface ServerHealth {
  isLive(): boolean;
  isReady(): boolean;
}
