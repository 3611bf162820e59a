/** Where and with what a result was measured. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Root folder of this checkout. */
export const CHECKOUT = fileURLToPath(new URL("..", import.meta.url));

const PACKAGES = ["@grpc/grpc-js", "onnxruntime-node", "protobufjs"] as const;

export interface Environment {
  readonly date: string;
  /** Commit of every checkout, "-dirty" where files differ from it; "unknown" outside git. */
  readonly commits: Readonly<Record<string, string>>;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGb: number;
    readonly system: string;
  };
  readonly versions: Readonly<Record<string, string>>;
}

/** Describes the machine, and the checkouts by their names. */
export function describeEnvironment(
  checkouts: readonly { readonly name: string; readonly checkout: string }[],
): Environment {
  const require = createRequire(import.meta.url);
  const versions: Record<string, string> = { node: process.version };
  for (const name of PACKAGES) versions[name] = versionOf(findManifest(require, name));
  versions["hybridserve"] = versionOf(join(CHECKOUT, "package.json"));
  return {
    date: new Date().toISOString(),
    commits: Object.fromEntries(checkouts.map(({ name, checkout }) => [name, commitOf(checkout)])),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      memoryGb: Math.round(totalmem() / 2 ** 30),
      system: `${platform()} ${release()} ${arch()}`,
    },
    versions,
  };
}

function commitOf(checkout: string): string {
  try {
    const git = (...args: string[]) =>
      execFileSync("git", args, { cwd: checkout, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    const dirty = git("status", "--porcelain") === "" ? "" : "-dirty";
    return git("rev-parse", "--short", "HEAD") + dirty;
  } catch {
    return "unknown";
  }
}

/** package.json of an installed package, also where its `exports` do not list it; undefined where it is missing. */
function findManifest(require: NodeJS.Require, name: string): string | undefined {
  const folders = require.resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name, "package.json")).find((file) => existsSync(file));
}

function versionOf(manifest: string | undefined): string {
  if (manifest === undefined) return "unknown";
  const parsed: unknown = JSON.parse(readFileSync(manifest, "utf8"));
  const hasVersion = typeof parsed === "object" && parsed !== null && "version" in parsed;
  return hasVersion ? String(parsed.version) : "unknown";
}
