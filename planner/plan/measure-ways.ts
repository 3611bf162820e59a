/** Ways to cut that were only estimated: measured once a placement chose them. */
import type { ModelProfile } from "../../proto/files/profile-file.ts";
import { meanServiceMs } from "../fleet.ts";
import type { StagedModel } from "./stage-options.ts";

export interface StageMeasurer {
  /** Writes and measures the stages of an estimated way to cut a model; a text says why it cannot be served. */
  measure(profile: ModelProfile, way: StagedModel): Promise<StagedModel | string>;
  /** What is being done, for the user. */
  progress(text: string): void;
}

/** Measures the chosen stages that are estimates; true: there were some, and `ways` has changed. */
export async function measureChosen(
  profiles: readonly ModelProfile[],
  ways: StagedModel[][],
  staged: readonly StagedModel[],
  tools: StageMeasurer,
  warnings: string[],
): Promise<boolean> {
  let hasChanged = false;
  for (const [k, way] of staged.entries()) {
    const profile = profiles[k];
    const own = ways[k];
    if (way.isMeasured || profile === undefined || own === undefined) continue;
    tools.progress(`measuring ${profile.name} in ${way.stages.length} stages`);
    const measured = await tools.measure(profile, way);
    hasChanged = true;
    if (typeof measured === "string") {
      own.splice(own.indexOf(way), 1);
      warnings.push(`model '${profile.name}' in ${way.stages.length} stages is given up: ${measured}`);
    } else {
      // What made these stages slower than estimated makes others of the model so too.
      const factor = totalMs(measured) / totalMs(way);
      for (const [i, other] of own.entries()) own[i] = other === way ? measured : slowedEstimate(other, factor);
    }
  }
  return hasChanged;
}

/** Of one row through all stages, on the class where that is fastest. */
function totalMs({ stages }: StagedModel): number {
  return stages.reduce((sum, { service }) => {
    return sum + Math.min(...[...service.values()].map((times) => meanServiceMs(times, 1)));
  }, 0);
}

function slowedEstimate(way: StagedModel, factor: number): StagedModel {
  if (way.isMeasured) return way;
  const stages = way.stages.map((stage) => ({
    ...stage,
    service: new Map(
      [...stage.service].map(([name, { batchSizes, samplesMs }]) => [
        name,
        { batchSizes, samplesMs: samplesMs.map((samples) => samples.map((ms) => ms * factor)) },
      ]),
    ),
  }));
  return { ...way, stages };
}
