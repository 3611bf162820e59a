/** The version of hybridserve itself. */
import { readFileSync } from "node:fs";

/** From the package.json beside the sources, or one folder above dist/. */
export function packageVersion(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
    } catch {
      // The other place has it.
    }
  }
  return "unknown";
}
