/** What a level of a cascade runs from, to be compared with what was calibrated. */
import type { Model } from "../../scheduler/model.ts";
import { isSelfHashed, levelHash } from "./certificate-hash.ts";
import type { LevelIdentity } from "./certificate-state.ts";

/** The execution provider of every model that runs in this server. */
const LOCAL_PROVIDER = "cpu";

/**
 * `model` is loaded from `versionDirectory` (undefined: not known). A model that says by itself what it is, as a remote
 * one, runs on a provider of its own.
 */
export async function levelIdentity(model: Model, versionDirectory: string | undefined): Promise<LevelIdentity> {
  if (isSelfHashed(model)) return { hash: model.contentHash, provider: "" };
  const hash = versionDirectory === undefined ? "" : await levelHash(versionDirectory);
  return { hash, provider: LOCAL_PROVIDER };
}
