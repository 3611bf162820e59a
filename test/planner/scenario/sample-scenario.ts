/** The conditions of hybridserve.md 3.5 as a scenario file. */
import { readScenario, type Scenario } from "../../../planner/scenario/scenario-file.ts";

/** Devices so small that each holds one stage only, as the closed form assumes: a stage takes more than half of one. */
const DEDICATED_BYTES = 10;
const STAGE_BYTES = 6;

export function sampleJson(lastReach: number): Record<string, unknown> {
  return {
    formatVersion: 1,
    title: "test",
    sources: ["hybridserve.md 3.5"],
    devices: {
      formatVersion: 1,
      classes: [
        {
          name: "gpu",
          kind: "cuda",
          memoryBytes: DEDICATED_BYTES,
          watts: { bare: 60, idle: 60, active: 300, source: "hybridserve.md 3.5" },
        },
      ],
      devices: [{ id: "gpu", class: "gpu", count: 300 }],
      links: {
        sameNode: { bytesPerMs: 1e9, latencyMs: 0 },
        betweenNodes: { bytesPerMs: 1e9, latencyMs: 0 },
      },
    },
    workload: {
      formatVersion: 1,
      rate: 100,
      slo: { latencyMs: 1e6 },
      dataflow: { levels: ["small", "middle", "giant"], reach: [1, 3 * lastReach, lastReach] },
    },
    rates: [20, 100],
    utilisationCap: 0.7,
    levels: [
      { model: "small", stages: [1], memoryBytes: STAGE_BYTES, times: [{ rows: 1, ms: 2.5 }] },
      { model: "middle", stages: [1], memoryBytes: STAGE_BYTES, times: [{ rows: 1, ms: 1000 / 120 }] },
      { model: "giant", stages: [8], memoryBytes: 8 * STAGE_BYTES, times: [{ rows: 1, ms: 1600 }] },
    ],
    certificate: null,
  };
}

export function sampleScenario(lastReach: number, changes: Record<string, unknown> = {}): Scenario {
  return readScenario(JSON.stringify({ ...sampleJson(lastReach), ...changes }), "scenario.json");
}
