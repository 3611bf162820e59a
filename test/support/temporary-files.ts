/** Folders of files that live as long as a test. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A test, or a `SharedCleanup`. */
export interface Cleanup {
  after(work: () => Promise<unknown>): void;
}

/** For what the tests of a `describe` share: made in its `before`, run in its `after`, the last first. */
export class SharedCleanup implements Cleanup {
  readonly #work: (() => Promise<unknown>)[] = [];

  after(work: () => Promise<unknown>): void {
    this.#work.push(work);
  }

  async run(): Promise<void> {
    for (const work of this.#work.splice(0).reverse()) await work();
  }
}

/** Writes files (path below the folder -> content) into a fresh folder, removed after the test; a trailing `/` makes a folder. */
export async function temporaryFiles(
  context: Cleanup,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "hybridserve-"));
  context.after(() => rm(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path);
    await mkdir(path.endsWith("/") ? file : dirname(file), { recursive: true });
    if (!path.endsWith("/")) await writeFile(file, content);
  }
  return root;
}
