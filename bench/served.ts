/** How many rows in how many executions a server ran, read from its metrics. */

/** Counters of one model since the server started. */
export interface ServedCount {
  readonly rows: number;
  readonly executions: number;
}

/** Parses `nv_inference_count` and `nv_inference_exec_count` of a Prometheus text, added up over versions. */
export function parseServedCounts(text: string): Map<string, ServedCount> {
  const counts = new Map<string, ServedCount>();
  for (const match of text.matchAll(/^nv_inference_(count|exec_count)\{([^}]*)\}\s+(\S+)/gm)) {
    const model = /model="([^"]*)"/.exec(match[2] ?? "")?.[1] ?? "";
    const { rows, executions } = counts.get(model) ?? { rows: 0, executions: 0 };
    const value = Number(match[3]);
    counts.set(
      model,
      match[1] === "count" ? { rows: rows + value, executions } : { rows, executions: executions + value },
    );
  }
  return counts;
}

/** What was served between two readings, models that stood still left out. */
export function servedBetween(
  before: ReadonlyMap<string, ServedCount>,
  after: ReadonlyMap<string, ServedCount>,
): Map<string, ServedCount> {
  const served = new Map<string, ServedCount>();
  for (const [model, count] of after) {
    const start = before.get(model) ?? { rows: 0, executions: 0 };
    const rows = count.rows - start.rows;
    if (rows > 0) served.set(model, { rows, executions: count.executions - start.executions });
  }
  return served;
}

/** Reads the counters of a running server. */
export async function readServedCounts(metricsPort: number): Promise<Map<string, ServedCount>> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  return parseServedCounts(await response.text());
}
