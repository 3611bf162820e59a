/** Credentials of the gRPC port from the TLS flags; every mistake in them stops the start with one line. */
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";
import type { TlsFiles } from "../options/serve-options.ts";

/** Reads and tries the files; without files the port is plain text. */
export async function grpcCredentials(files: TlsFiles | undefined): Promise<ServerCredentials> {
  if (files === undefined) return ServerCredentials.createInsecure();
  const certificate = await readPem("--grpc-server-cert", files.certificate);
  const key = await readPem("--grpc-server-key", files.key);
  const roots = files.clientRoots === undefined ? null : await readPem("--grpc-root-cert", files.clientRoots);
  tryContext("--grpc-server-cert", files.certificate, { cert: certificate });
  tryContext("--grpc-server-key", files.key, { key });
  tryContext("--grpc-server-cert and --grpc-server-key", files.certificate, { cert: certificate, key });
  if (roots !== null) {
    if (!roots.includes("-----BEGIN CERTIFICATE-----"))
      throw bad("--grpc-root-cert", files.clientRoots, "no certificate in it");
    tryContext("--grpc-root-cert", files.clientRoots, { ca: roots });
  }
  return ServerCredentials.createSsl(roots, [{ private_key: key, cert_chain: certificate }], roots !== null);
}

async function readPem(flag: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw bad(flag, file, error instanceof Error ? error.message : String(error));
  }
}

function tryContext(flag: string, file: string | undefined, parts: { cert?: Buffer; key?: Buffer; ca?: Buffer }): void {
  try {
    createSecureContext(parts);
  } catch (error) {
    throw bad(flag, file, error instanceof Error ? error.message : String(error));
  }
}

function bad(flag: string, file: string | undefined, reason: string): InferenceError {
  return new InferenceError(
    "INVALID_ARGUMENT",
    `${flag}: cannot use ${file}: ${reason}; give PEM files that belong together`,
  );
}
