/** Where the levels run: here, from the repository, or on another server. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeRemoteModel } from "../../model-repo/backends/kserve-describe.ts";
import { ModelRunner } from "../../model-repo/model-runner.ts";
import type { Runtime } from "../../planner/runtime.ts";

/** Loads models of the repositories in this process, or with `url` (host:port) asks a running server for them. */
export async function openRuntime(
  repositories: readonly string[],
  models: readonly string[],
  url: string | undefined,
  warn: (text: string) => void,
): Promise<Runtime> {
  const log = {
    info: () => undefined,
    warn: (_fields: object, text: string) => warn(`warning: ${text}`),
    error: (_fields: object, text: string) => warn(`error: ${text}`),
  };
  const unique = [...new Set(models)];
  if (url === undefined) return ModelRunner.open({ repositories, models: unique, log });
  const repository = await mkdtemp(join(tmpdir(), "hybridserve-levels-"));
  try {
    for (const model of unique) {
      const { version, configText } = await describeRemoteModel(url, model);
      await mkdir(join(repository, model, version), { recursive: true });
      await writeFile(join(repository, model, "config.pbtxt"), configText);
    }
    return await ModelRunner.open({ repositories: [repository], models: unique, log });
  } finally {
    await rm(repository, { recursive: true, force: true });
  }
}
