/** Calibrations in this process, on copies of the demo's models. */
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { calibrateCommand } from "../../../cli/calibrate.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const EXAMPLES = fileURLToPath(new URL("../../../examples/", import.meta.url));
export const FASHION_IMAGES = join(EXAMPLES, "fashion-mnist/data/test-images-idx3-ubyte.gz");
export const FASHION_RECORDED = join(EXAMPLES, "fashion-mnist/recorded/levels.npz");
/** Joules a row of xs, m and l, as measured by hand. */
export const FASHION_COSTS = "0.0036,0.0238,0.285";
export const FASHION_LEVELS = ["fashion-xs", "fashion-m", "fashion-l"] as const;

export function example(path: string): string {
  return join(EXAMPLES, path);
}

export interface CalibrateRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function calibrate(...argv: readonly string[]): Promise<CalibrateRun> {
  const out: string[] = [];
  const err: string[] = [];
  const io = { stdout: (text: string) => out.push(text), stderr: (text: string) => err.push(text) };
  const code = await calibrateCommand.run(argv, io);
  return { code, stdout: out.join(""), stderr: err.join("") };
}

/** A folder with `models`, the demo's three levels and, unless `withCascade` is false, the uncalibrated cascade `fashion`. */
export async function fashionCopy(context: Pick<TestContext, "after">, withCascade = true) {
  const root = await temporaryFiles(context, { "models/": "" });
  const models = join(root, "models");
  const from = example("fashion-mnist/models");
  for (const level of FASHION_LEVELS) await cp(join(from, level), join(models, level), { recursive: true });
  if (withCascade) {
    await mkdir(join(models, "fashion"));
    for (const name of ["config.pbtxt", "labels.txt", "1"]) {
      await cp(join(from, "fashion", name), join(models, "fashion", name), { recursive: true });
    }
  }
  return { root, models, cascade: join(models, "fashion"), cache: join(root, "cache") };
}
