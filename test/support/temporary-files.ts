/** Folders of files that live as long as a test. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";

/** Writes files (path below the folder -> content) into a fresh folder, removed after the test; a trailing `/` makes a folder. */
export async function temporaryFiles(
  context: Pick<TestContext, "after">,
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
