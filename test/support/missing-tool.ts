/** What a test does without a tool that the project does not bring: it is skipped, visibly; in CI it fails. */

/** The `skip` of a test that needs a tool; `missing` says which and how to get it, undefined where it is there. */
export function skipWithout(missing: string | undefined): string | false {
  if (missing === undefined) return false;
  if (process.env["CI"] === "true") throw new Error(`in CI every tool must be there: ${missing}`);
  return missing;
}
