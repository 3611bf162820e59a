/** Labelled rows for the tests of search and certificate. */
import fc from "fast-check";
import type { LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";

/** Confidences that are easy to get wrong: ties, both ends, neighbours of the ends, none at all. */
const CONFIDENCES = fc.oneof(
  fc.constantFrom(0, 1, Number.NaN, 0.5, 0.5000000000000001, 0.9, 1 - 2 ** -53, 5e-324),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

/** Any rows of a cascade of this many levels. */
export function anyOutcomes(levels: number, mostRows: number): fc.Arbitrary<LevelOutcomes> {
  const row = fc.record({
    confidences: fc.array(CONFIDENCES, { minLength: levels - 1, maxLength: levels - 1 }),
    answers: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: levels, maxLength: levels }),
    label: fc.integer({ min: 0, max: 2 }),
  });
  return fc.array(row, { minLength: 1, maxLength: mostRows }).map((rows) => ({
    rows: rows.length,
    confidences: Array.from({ length: levels - 1 }, (_, k) =>
      Float64Array.from(rows, ({ confidences }) => confidences[k] ?? 0),
    ),
    answers: Array.from({ length: levels }, (_, k) => Int32Array.from(rows, ({ answers }) => answers[k] ?? 0)),
    correct: Array.from({ length: levels }, (_, k) =>
      Uint8Array.from(rows, ({ answers, label }) => (answers[k] === label ? 1 : 0)),
    ),
  }));
}

/**
 * Rows of a plausible cascade: the harder a row, the rarer a right answer and the lower the confidence; larger levels are
 * better. Two classes, the label is 1.
 */
export function plausibleOutcomes(levels: number, rows: number, seed: number): LevelOutcomes {
  const random = seededRandom(seed);
  const hardness = Float64Array.from({ length: rows }, () => random() ** 3);
  const correct = Array.from({ length: levels }, (_, k) =>
    Uint8Array.from(hardness, (hard) => (random() < 1 - hard * (0.75 - (0.35 * k) / (levels - 1)) ? 1 : 0)),
  );
  const confidences = Array.from({ length: levels - 1 }, (_, k) =>
    Float64Array.from(hardness, (hard, row) => {
      const sure = 1 - 0.6 * hard - 0.3 * random() + (correct[k]?.[row] === 1 ? 0.08 : 0);
      return Math.min(1, Math.max(0, sure));
    }),
  );
  return { rows, confidences, correct, answers: correct.map((right) => Int32Array.from(right)) };
}
