/** What a poll of the repository changes: decided from what consecutive scans saw, so that half-copied files wait. */

/** One successful scan: a text per model that changes with its files; undefined where they could not be read this time. */
export type Scan = ReadonlyMap<string, string | undefined>;

/** What the polls remember of one model. */
export interface PolledModel {
  /** As the last scan saw it; undefined when it was absent. */
  readonly seen: string | undefined;
  /** As it was when it was last loaded, whether that worked or not; undefined before the first time. */
  readonly tried: string | undefined;
  readonly failures: number;
  /** Scans to wait before a failed load is tried again. */
  readonly waits: number;
  /** Scans in a row that did not find it. */
  readonly absences: number;
}

export type PolledModels = ReadonlyMap<string, PolledModel>;

export interface PollDecision {
  readonly load: readonly string[];
  readonly unload: readonly string[];
  /** Models that are gone and are kept, because so many at once look like a broken disk. */
  readonly kept: readonly string[];
  readonly models: PolledModels;
}

/** Scans without a model before it is unloaded. */
const ABSENCES = 2;

/** A failed load is tried again after 1, 2, 4, 8 and 16 further scans, then only after a change. */
const RETRIES = 5;

/**
 * A model is loaded when its files changed and then looked the same in two scans in a row. One that is gone is unloaded
 * after two scans, unless that would unload more than half of all at once and `allowMassUnload` is off.
 */
export function decidePoll(models: PolledModels, scan: Scan, allowMassUnload: boolean): PollDecision {
  const load: string[] = [];
  const gone: string[] = [];
  const next = new Map<string, PolledModel>();
  for (const name of new Set([...models.keys(), ...scan.keys()])) {
    const before = models.get(name) ?? UNKNOWN;
    if (!scan.has(name)) {
      const absences = before.absences + 1;
      next.set(name, { ...before, seen: undefined, absences });
      if (absences >= ABSENCES) gone.push(name);
      continue;
    }
    const now = scan.get(name);
    const isStable = now !== undefined && now === before.seen;
    const isRetry = before.failures > 0 && before.failures <= RETRIES && before.waits <= 1;
    const isDue = isStable && (now !== before.tried || isRetry);
    if (isDue) load.push(name);
    const waits = isDue ? before.waits : Math.max(0, before.waits - 1);
    next.set(name, { ...before, seen: now ?? before.seen, absences: 0, waits });
  }
  const isMass = gone.length > models.size / 2 && !allowMassUnload;
  if (!isMass) for (const name of gone) next.delete(name);
  return { load, unload: isMass ? [] : gone, kept: isMass ? gone : [], models: next };
}

/** What is remembered of a model after its load was tried with these files. */
export function afterLoad(before: PolledModel | undefined, files: string, hasFailed: boolean): PolledModel {
  const isSame = before?.tried === files;
  const failures = hasFailed ? (isSame ? before.failures : 0) + 1 : 0;
  return { seen: files, tried: files, failures, waits: hasFailed ? 2 ** (failures - 1) : 0, absences: 0 };
}

const UNKNOWN: PolledModel = { seen: undefined, tried: undefined, failures: 0, waits: 0, absences: 0 };
