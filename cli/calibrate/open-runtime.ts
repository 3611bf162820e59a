/** Where the levels run: here, from the repository, or on another server. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
      await mkdir(join(repository, model, "1"), { recursive: true });
      await writeFile(join(repository, model, "config.pbtxt"), remoteConfig(model, url));
    }
    return await ModelRunner.open({ repositories: [repository], models: unique, log });
  } finally {
    await rm(repository, { recursive: true, force: true });
  }
}

/** A model that answers under this name on another server; its tensors are completed from the server's metadata. */
function remoteConfig(model: string, url: string): string {
  return [
    `name: "${model}"`,
    'backend: "kserve"',
    `parameters { key: "target" value: { string_value: "${url}" } }`,
    `parameters { key: "model" value: { string_value: "${model}" } }`,
    "",
  ].join("\n");
}
