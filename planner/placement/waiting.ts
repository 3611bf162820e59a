/** Waits of a stage by formula: a quick screen of options; the simulator decides. */

/** Erlang C: share of arrivals that wait, at `servers` servers busy a share `utilisation` of the time. */
export function erlangC(servers: number, utilisation: number): number {
  // Beyond a thousand servers hardly anybody waits.
  if (servers > 1000) return 0;
  if (utilisation >= 1) return 1;
  // Erlang B by its recursion over the servers, then C from B.
  const offered = servers * utilisation;
  let blocked = 1;
  for (let c = 1; c <= servers; c++) blocked = (offered * blocked) / (c + offered * blocked);
  return blocked / (1 - utilisation * (1 - blocked));
}

export interface QueueShape {
  readonly servers: number;
  readonly utilisation: number;
  readonly serviceMs: number;
  /** Coefficients of variation of the gaps between arrivals and of the service times. */
  readonly arrivalCv: number;
  readonly serviceCv: number;
}

/** Mean milliseconds in the queue: C / (c mu - lambda) * (CVa^2 + CVs^2) / 2 (Allen and Cunneen). */
export function queueWaitMs({ servers, utilisation, serviceMs, arrivalCv, serviceCv }: QueueShape): number {
  const waits = erlangC(servers, utilisation);
  if (waits === 0) return 0;
  return ((waits * serviceMs) / (servers * (1 - utilisation))) * ((arrivalCv ** 2 + serviceCv ** 2) / 2);
}

/** Longest wait for a batch of `rows` to fill: until the others are there, at most the queue delay. */
export function batchWaitMs(rows: number, rowsPerSecond: number, maxQueueDelayMs: number): number {
  if (rows <= 1) return 0;
  return Math.min(maxQueueDelayMs, ((rows - 1) * 1000) / rowsPerSecond);
}
