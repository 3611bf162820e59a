/** Metrics of cascades and of models on other servers (docs/metrics.md), read from their counters at scrape. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { BreakerStatistics } from "../model-repo/backends/breaker.ts";
import { CERTIFICATE_STATES } from "../model-repo/backends/certificate-state.ts";
import { ServedCascade } from "../model-repo/backends/served-cascade.ts";
import type { LoadedModel } from "../model-repo/repository-types.ts";
import { CONFIDENCE_BINS, ESCALATION_REASONS } from "../scheduler/cascade/cascade-statistics.ts";
import { labelsOf } from "./metric-labels.ts";

type Labels = Readonly<Record<string, string | number>>;

/** One value of a family. */
interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

interface Family<T> {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** Labels beside those of the model. */
  readonly labelNames: readonly string[];
  samples(source: T): readonly Sample[];
}

const CASCADE_FAMILIES: readonly Family<ServedCascade>[] = [
  {
    name: "hybridserve_certificate_state",
    help: "1 for the state of each operating point's certificate, 0 for the other states",
    type: "gauge",
    labelNames: ["operating_point", "state"],
    samples: ({ certificates }) =>
      [...certificates].flatMap(([point, finding]) =>
        CERTIFICATE_STATES.map((state) => ({
          labels: { operating_point: point, state },
          value: finding.state === state ? 1 : 0,
        })),
      ),
  },
  {
    name: "hybridserve_cascade_operating_point",
    help: "1 for the operating point of requests that name none, before drift and load choose, 0 for the others",
    type: "gauge",
    labelNames: ["operating_point"],
    samples: ({ file, operatingPoint }) =>
      file.operatingPoints.map(({ name }) => ({
        labels: { operating_point: name },
        value: name === operatingPoint ? 1 : 0,
      })),
  },
  {
    name: "hybridserve_cascade_gear",
    help: "Load gear in use: 0 for none, i for the i-th of the configuration",
    type: "gauge",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.gear }],
  },
  {
    name: "hybridserve_cascade_arrival_rate",
    help: "Requests a second that arrive at the cascade, mean of the last five seconds; what gears by arrival rate go by",
    type: "gauge",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.arrivalsPerSecond }],
  },
  {
    name: "hybridserve_cascade_rows_total",
    help: "Rows that left a level, by destination: the level itself where its answer stood, else the next level",
    type: "counter",
    labelNames: ["level", "destination"],
    samples: ({ cascade }) =>
      cascade.cascadeStatistics.rowsByPath.flatMap((paths, level) =>
        paths.slice(level).map((value, i) => ({ labels: { level, destination: level + i }, value })),
      ),
  },
  {
    name: "hybridserve_cascade_confidence_bucket",
    help: "Rows of a level whose confidence was below le; +Inf is all with a finite confidence",
    type: "counter",
    labelNames: ["level", "le"],
    samples: ({ cascade }) => cascade.cascadeStatistics.confidenceHistograms.flatMap(buckets),
  },
  {
    name: "hybridserve_cascade_escalations_total",
    help: "Rows that went on to another level, by reason",
    type: "counter",
    labelNames: ["reason"],
    samples: ({ cascade }) =>
      ESCALATION_REASONS.map((reason) => ({
        labels: { reason },
        value: cascade.cascadeStatistics.escalations[reason],
      })),
  },
  {
    name: "hybridserve_cascade_nonfinite_rows_total",
    help: "Rows whose scores were no finite numbers",
    type: "counter",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.cascadeStatistics.nonFiniteRows }],
  },
  {
    name: "hybridserve_cascade_degraded_rows_total",
    help: "Rows that got a lower level's answer than their confidence asked for, because a level failed or time was short",
    type: "counter",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.cascadeStatistics.degradedRows }],
  },
  {
    name: "hybridserve_cascade_cancelled_rows_total",
    help: "Rows whose request was cancelled while they were at this level, and which went no further",
    type: "counter",
    labelNames: ["level"],
    samples: ({ cascade }) =>
      cascade.cascadeStatistics.cancelledRows.map((value, level) => ({ labels: { level }, value })),
  },
  {
    name: "hybridserve_cascade_shadow_rows_total",
    help: "Rows that the last level answered a second time, for the drift watch",
    type: "counter",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.cascadeStatistics.shadowRows }],
  },
  {
    name: "hybridserve_cascade_shadow_disagreements_total",
    help: "Shadowed rows that the last level answered otherwise",
    type: "counter",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.cascadeStatistics.shadowDisagreements }],
  },
  {
    name: "hybridserve_cascade_shadow_skipped_rows_total",
    help: "Rows chosen for the drift watch that were not compared: the last level was busy, or failed",
    type: "counter",
    labelNames: ["reason"],
    samples: ({ cascade: { cascadeStatistics } }) => [
      { labels: { reason: "busy" }, value: cascadeStatistics.shadowRowsDropped },
      { labels: { reason: "failed" }, value: cascadeStatistics.shadowRowsFailed },
    ],
  },
  {
    name: "hybridserve_cascade_disagreement_bound",
    help: "Certified upper bound of the share of rows answered otherwise than by the last level; absent without one",
    type: "gauge",
    labelNames: [],
    samples: ({ cascade }) => {
      const { bound } = cascade.driftEvidence;
      return bound === undefined ? [] : [{ labels: {}, value: bound }];
    },
  },
  {
    name: "hybridserve_cascade_drift_evidence",
    help: "Evidence that the disagreement is above its bound, in rows to a false alarm",
    type: "gauge",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.driftEvidence.eValue }],
  },
  {
    name: "hybridserve_cascade_drift_alarm",
    help: "1 once drift was noticed: every certificate of the cascade is void",
    type: "gauge",
    labelNames: [],
    samples: ({ cascade }) => [{ labels: {}, value: cascade.driftAlarm === null ? 0 : 1 }],
  },
  {
    name: "hybridserve_cascade_cost_total",
    help: "Rows of a level times its cost per row in cascade.json, in the unit given there",
    type: "counter",
    labelNames: ["level", "unit"],
    samples: ({ cascade, file }) =>
      cascade.cascadeStatistics.costByLevel.flatMap((value, level) =>
        value === null ? [] : [{ labels: { level, unit: file.levels[level]?.cost?.unit ?? "" }, value }],
      ),
  },
];

const BREAKER_FAMILIES: readonly Family<readonly BreakerStatistics[]>[] = [
  {
    name: "hybridserve_breaker_state",
    help: "Circuit breaker of a remote endpoint: 0 closed, 1 open, 2 half-open",
    type: "gauge",
    labelNames: ["endpoint"],
    samples: (breakers) => breakers.map(({ endpoint, state }) => ({ labels: { endpoint }, value: state })),
  },
  {
    name: "hybridserve_breaker_transitions_total",
    help: "State changes of the circuit breaker",
    type: "counter",
    labelNames: ["endpoint"],
    samples: (breakers) => breakers.map(({ endpoint, transitions }) => ({ labels: { endpoint }, value: transitions })),
  },
  {
    name: "hybridserve_breaker_calls_total",
    help: "Calls to a remote endpoint by outcome; refused ones never left, because the breaker was open",
    type: "counter",
    labelNames: ["endpoint", "outcome"],
    samples: (breakers) =>
      breakers.flatMap(({ endpoint, calls }) =>
        Object.entries(calls).map(([outcome, value]) => ({ labels: { endpoint, outcome }, value })),
      ),
  },
];

/** Adds the families to a scrape; each only where a loaded model has it. */
export function addCascadeMetrics(registry: Registry, models: readonly LoadedModel[]): void {
  const cascades: Source<ServedCascade>[] = [];
  const remotes: Source<readonly BreakerStatistics[]>[] = [];
  for (const loaded of models) {
    const { model } = loaded;
    if (model instanceof ServedCascade) cascades.push({ labels: labelsOf(loaded), source: model });
    if (hasBreakers(model)) remotes.push({ labels: labelsOf(loaded), source: model.breakers });
  }
  for (const family of CASCADE_FAMILIES) addFamily(registry, family, cascades);
  for (const family of BREAKER_FAMILIES) addFamily(registry, family, remotes);
}

interface Source<T> {
  readonly labels: Record<string, string>;
  readonly source: T;
}

function addFamily<T>(registry: Registry, family: Family<T>, sources: readonly Source<T>[]): void {
  if (sources.length === 0) return;
  const { name, help, type } = family;
  const modelLabels = new Set(sources.flatMap(({ labels }) => Object.keys(labels)));
  const options = { name, help, labelNames: [...modelLabels, ...family.labelNames], registers: [registry] };
  const metric = type === "counter" ? new Counter(options) : new Gauge(options);
  for (const { labels, source } of sources) {
    for (const sample of family.samples(source)) metric.inc({ ...labels, ...sample.labels }, sample.value);
  }
}

/** Cumulative counts, as Prometheus' histograms have them; the last bin holds what is above its lower end. */
function buckets(bins: readonly number[], level: number): Sample[] {
  let rows = 0;
  return bins.map((count, bin) => {
    rows += count;
    const isLast = bin === CONFIDENCE_BINS - 1;
    return { labels: { level, le: isLast ? "+Inf" : String((bin + 1) / CONFIDENCE_BINS) }, value: rows };
  });
}

function hasBreakers(model: object): model is { readonly breakers: readonly BreakerStatistics[] } {
  return "breakers" in model && Array.isArray(model.breakers);
}
