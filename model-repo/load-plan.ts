/** What a load of some models involves: what they are made of, what is made of them, and in which order. */
import { InferenceError } from "../proto/errors.ts";
import { type DependencyGraph, dependenciesFirst, findCycle } from "./dependency-graph.ts";
import type { ModelSource } from "./model-source.ts";

export interface LoadPlan {
  /**
   * Models to bring up to date; each after all that it is made of, and after all that its serving versions run on as far
   * as that makes no cycle.
   */
  readonly sources: readonly ModelSource[];
  /** Models that cannot be read or are made of themselves. */
  readonly failures: ReadonlyMap<string, InferenceError>;
}

export interface PlanOptions {
  readonly roots: Iterable<string>;
  /** Whether the models that the roots are made of, and so on downwards, are loaded too. */
  readonly withParts: boolean;
  /** Loaded models that are made of these: they follow, but the rest of what they are made of does not. */
  usersOf(names: Iterable<string>): Iterable<string>;
  /** What a model that serves runs on, which its files may no longer name. */
  servedParts(name: string): readonly string[];
  /** Rejects for a model that cannot be read. */
  read(name: string): Promise<ModelSource>;
}

export async function planLoad({ roots, withParts, usersOf, servedParts, read }: PlanOptions): Promise<LoadPlan> {
  const sources = new Map<string, ModelSource>();
  const failures = new Map<string, InferenceError>();
  const readAll = async (names: readonly string[]): Promise<string[]> => {
    const parts: string[] = [];
    await Promise.all(
      names.map(async (name) => {
        try {
          const source = await read(name);
          sources.set(name, source);
          parts.push(...source.dependencies);
        } catch (error) {
          failures.set(name, InferenceError.from(error));
        }
      }),
    );
    return parts;
  };
  const isNew = (name: string) => !sources.has(name) && !failures.has(name);
  for (let next = [...new Set(roots)]; next.length > 0; ) {
    const parts = await readAll(next);
    next = withParts ? [...new Set(parts)].filter(isNew) : [];
  }
  await readAll([...usersOf([...sources.keys()])].filter(isNew));

  for (let cycle = findCycle(graphOf(sources)); cycle !== undefined; cycle = findCycle(graphOf(sources))) {
    const error = new InferenceError("INVALID_ARGUMENT", `models are made of each other: ${cycle.join(" -> ")}`);
    for (const name of cycle) {
      failures.set(name, error);
      sources.delete(name);
    }
  }
  const wanted = graphOf(sources);
  const served = new Map([...wanted].map(([name, parts]) => [name, [...parts, ...servedParts(name)]]));
  const order = dependenciesFirst(findCycle(served) === undefined ? served : wanted);
  return { sources: order.flatMap((name) => sources.get(name) ?? []), failures };
}

function graphOf(sources: ReadonlyMap<string, ModelSource>): DependencyGraph {
  return new Map([...sources].map(([name, source]) => [name, source.dependencies]));
}
