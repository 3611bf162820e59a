/** TLS and mutual TLS on the gRPC port, with certificates made on the spot. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import { skipWithout } from "../../support/missing-tool.ts";
import { FakeRepository } from "../support/fake-repository.ts";
import { TestClient } from "../support/grpc-client.ts";
import { TestServer } from "../support/test-server.ts";

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const missing = hasOpenssl() ? undefined : "openssl is not installed";

describe("TLS", { skip: skipWithout(missing) }, () => {
  let folder = "";
  const file = (name: string) => join(folder, name);
  const read = (name: string) => readFileSync(file(name));

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "hybridserve-tls-"));
    const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for (const ca of ["ca", "other-ca"]) {
      openssl("req", "-x509", ...key, "-keyout", `${ca}.key`, "-out", `${ca}.pem`, "-days", "2", "-subj", `/CN=${ca}`);
    }
    writeFileSync(file("san.txt"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    for (const [name, ca] of [
      ["server", "ca"],
      ["client", "ca"],
      ["stranger", "other-ca"],
    ] as const) {
      openssl("req", "-new", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      const signer = [
        "-CA",
        `${ca}.pem`,
        "-CAkey",
        `${ca}.key`,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "san.txt",
      ];
      openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...signer);
    }
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  test("a client that trusts the certificate is served, plain text is not", async (t) => {
    const tls = { certificate: file("server.pem"), key: file("server.key") };
    const server = await TestServer.start(t, new FakeRepository(), { grpc: { tls } });
    const client = new TestClient(server.server.port, credentials.createSsl(read("ca.pem")));
    t.after(() => client.close());
    assert.deepEqual(await client.call("ServerLive"), { live: true });
    assert.equal((await server.client.failure("ServerLive")).code, 14);
  });

  test("mutual TLS refuses clients without a certificate and those of another authority", async (t) => {
    const tls = { certificate: file("server.pem"), key: file("server.key"), clientRoots: file("ca.pem") };
    const server = await TestServer.start(t, new FakeRepository(), { grpc: { tls } });
    const connect = (name: string | undefined) => {
      const [key, cert] = name === undefined ? [null, null] : [read(`${name}.key`), read(`${name}.pem`)];
      const client = new TestClient(server.server.port, credentials.createSsl(read("ca.pem"), key, cert));
      t.after(() => client.close());
      return client;
    };
    assert.deepEqual(await connect("client").call("ServerLive"), { live: true });
    assert.equal((await connect(undefined).failure("ServerLive")).code, 14);
    assert.equal((await connect("stranger").failure("ServerLive")).code, 14);
  });

  test("files that cannot be used stop the start with one line that names flag and file", async (t) => {
    const good = { certificate: file("server.pem"), key: file("server.key") };
    const start = (tls: typeof good & { clientRoots?: string }) =>
      TestServer.start(t, new FakeRepository(), { grpc: { tls } });
    const oneLine = (pattern: RegExp) => (error: Error) => {
      assert.match(error.message, pattern);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    };
    await assert.rejects(start({ ...good, certificate: "/nowhere.pem" }), oneLine(/--grpc-server-cert.*nowhere/));
    await assert.rejects(start({ ...good, certificate: file("san.txt") }), oneLine(/--grpc-server-cert.*san\.txt/));
    await assert.rejects(start({ ...good, key: file("san.txt") }), oneLine(/--grpc-server-key.*san\.txt/));
    await assert.rejects(start({ ...good, key: file("client.key") }), oneLine(/belong together/));
    await assert.rejects(start({ ...good, clientRoots: file("san.txt") }), oneLine(/--grpc-root-cert.*san\.txt/));
  });
});
