/** Models made of models: order, cycles, users. Pure and iterative: a graph may be deep. */

/** Names of the models that each model is made of; names without an entry are outside the graph. */
export type DependencyGraph = ReadonlyMap<string, readonly string[]>;

/** A cycle of the graph as a path that ends where it began; undefined where there is none. */
export function findCycle(graph: DependencyGraph): string[] | undefined {
  const done = new Set<string>();
  for (const start of graph.keys()) {
    const path: { name: string; next: number }[] = [{ name: start, next: 0 }];
    const onPath = new Set([start]);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const child = done.has(top.name) ? undefined : graph.get(top.name)?.[top.next++];
      if (child === undefined) {
        done.add(top.name);
        onPath.delete(top.name);
        path.pop();
      } else if (onPath.has(child)) {
        const names = path.map((step) => step.name);
        return [...names.slice(names.indexOf(child)), child];
      } else if (!done.has(child)) {
        path.push({ name: child, next: 0 });
        onPath.add(child);
      }
    }
  }
  return undefined;
}

/** Every name of the graph after all that it is made of. The graph has no cycle. */
export function dependenciesFirst(graph: DependencyGraph): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  for (const start of graph.keys()) {
    const path: { name: string; next: number }[] = [];
    if (!seen.has(start)) path.push({ name: start, next: 0 });
    seen.add(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const child = graph.get(top.name)?.[top.next++];
      if (child === undefined) {
        order.push(top.name);
        path.pop();
      } else if (graph.has(child) && !seen.has(child)) {
        seen.add(child);
        path.push({ name: child, next: 0 });
      }
    }
  }
  return order;
}

/** All models that are made, directly or through others, of one of `names`; not the names themselves. */
export function transitiveUsers(graph: DependencyGraph, names: Iterable<string>): Set<string> {
  const start = new Set(names);
  const users = new Set<string>();
  const open = [...start];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    for (const [user, parts] of graph) {
      if (users.has(user) || start.has(user) || !parts.includes(name)) continue;
      users.add(user);
      open.push(user);
    }
  }
  return users;
}

/**
 * Parts of `name` that nobody needs once it is gone, and so on downwards: not kept for their own sake and without
 * another user.
 */
export function orphans(graph: DependencyGraph, name: string, isKept: (name: string) => boolean): Set<string> {
  const gone = new Set([name]);
  const open = [name];
  for (let user = open.pop(); user !== undefined; user = open.pop()) {
    for (const part of graph.get(user) ?? []) {
      const isUsed = [...graph].some(([other, parts]) => !gone.has(other) && parts.includes(part));
      if (gone.has(part) || isKept(part) || isUsed) continue;
      gone.add(part);
      open.push(part);
    }
  }
  gone.delete(name);
  return gone;
}
