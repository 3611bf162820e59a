/** Runs hybridserve's commands as a user would, and shows what it runs. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { CHECKOUT } from "../../bench/environment.ts";

/** Resolves with what the command printed; shows it too unless `isQuiet`. Rejects where it fails. */
export async function runHybridserve(flags: readonly string[], isQuiet = false): Promise<string> {
  process.stderr.write(`\n$ npx hybridserve ${flags.join(" ")}\n`);
  const child = spawn(process.execPath, [join(CHECKOUT, "bin/hybridserve.js"), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (!isQuiet) process.stderr.write(chunk);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const output = Buffer.concat(chunks).toString("utf8");
  if (code !== 0) {
    throw new Error(`hybridserve ${flags[0]} ended with exit code ${code}: see above\n${isQuiet ? output : ""}`);
  }
  return output;
}
