/** For tests of the launcher, which runs under any Node. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A Node on the PATH whose major version is not 22. */
export function otherNode(): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const file = join(folder, "node");
    if (!existsSync(file)) continue;
    const version = execFileSync(file, ["--version"], { encoding: "utf8" });
    const major = Number(/^v(\d+)/.exec(version)?.[1]);
    if (major >= 18 && major !== 22) return file;
  }
  return undefined;
}
