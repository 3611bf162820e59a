/** How a remote is reached: plain text or TLS, with the files that the configuration names. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type ChannelCredentials, credentials as channelCredentials } from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";
import type { KserveSettings, KserveTls } from "./kserve-settings.ts";

export interface RemoteCredentials {
  readonly channel: ChannelCredentials;
  /**
   * The same text for the same server name and TLS files, whatever the files are called. Headers are left out: they say
   * who asks, not who answers.
   */
  readonly connection: string;
}

/** Reads the files, relative ones in `directory`; rejects with INVALID_ARGUMENT where they are missing or no PEM files. */
export async function readCredentials(
  model: string,
  { tls, authority = "" }: Pick<KserveSettings, "tls" | "authority">,
  directory: string,
): Promise<RemoteCredentials> {
  if (tls === undefined) return { channel: channelCredentials.createInsecure(), connection: `plain '${authority}'` };
  const files = await readFiles(model, tls, directory);
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file?.byteLength ?? "none"}:`).update(file ?? "");
  try {
    const channel = channelCredentials.createSsl(...files);
    return { channel, connection: `tls '${authority}' ${hash.digest("base64")}` };
  } catch (error) {
    throw badTls(model, "the tls_* files are no PEM files that belong together", error);
  }
}

/** Root certificates, key and certificate, as grpc-js takes them; null where none is named. */
async function readFiles(
  model: string,
  tls: KserveTls,
  directory: string,
): Promise<[roots: Buffer | null, key: Buffer | null, certificate: Buffer | null]> {
  const read = async (parameter: string, file: string | undefined) => {
    if (file === undefined) return null;
    try {
      return await readFile(resolve(directory, file));
    } catch (error) {
      throw badTls(model, `parameter '${parameter}': cannot read '${file}'`, error);
    }
  };
  return Promise.all([
    read("tls_root_certificates", tls.rootCertificates),
    read("tls_key", tls.key),
    read("tls_certificate", tls.certificate),
  ]);
}

function badTls(model: string, what: string, cause: unknown): InferenceError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new InferenceError("INVALID_ARGUMENT", `model '${model}', ${what}: ${reason}`, { cause });
}
