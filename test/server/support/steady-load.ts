/** Clients that ask all the time, so that a test can see that nobody is lost while something changes. */
import assert from "node:assert/strict";
import type { InferenceResponse } from "../../../proto/inference.ts";
import { floats } from "../../support/tensors.ts";
import { inputRows } from "./placed-repository.ts";

type Infer = (model: string, inputs: readonly ReturnType<typeof inputRows>[]) => Promise<InferenceResponse>;

/** Batches of other sizes are rounded otherwise. */
const ROUNDING = 1e-4;
const CLIENTS = 3;
const INPUTS = 4;

/** Some clients for each model; every answer is compared with the one that the model gave before. */
export class SteadyLoad {
  answered = 0;
  readonly errors: string[] = [];
  readonly #expected = new Map<string, readonly number[]>();
  readonly #infer: Infer;
  readonly #models: readonly string[];
  readonly #clients: Promise<void>[] = [];
  #isEnding = false;

  private constructor(infer: Infer, models: readonly string[]) {
    this.#infer = infer;
    this.#models = models;
  }

  static async start(infer: Infer, models: readonly string[]): Promise<SteadyLoad> {
    const load = new SteadyLoad(infer, models);
    for (const model of models) {
      for (let seed = 0; seed < INPUTS; seed++) {
        const { outputs } = await infer(model, [inputRows(1, seed)]);
        load.#expected.set(`${model} ${seed}`, floats(outputs[0]));
      }
    }
    load.#clients.push(...models.flatMap((model) => Array.from({ length: CLIENTS }, (_, i) => load.#ask(model, i))));
    return load;
  }

  /** Waits until so many more requests of every kind were answered. */
  async more(count: number): Promise<void> {
    const until = this.answered + count * this.#models.length;
    while (this.answered < until && this.errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(this.errors, []);
  }

  /** Asks no more, waits for what is open; throws where anything was lost or wrong. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#clients);
    assert.deepEqual(this.errors, []);
  }

  async #ask(model: string, first: number): Promise<void> {
    for (let i = first; !this.#isEnding; i++) {
      const seed = i % INPUTS;
      try {
        const { outputs } = await this.#infer(model, [inputRows(1, seed)]);
        const expected = this.#expected.get(`${model} ${seed}`) ?? [];
        const wrong = floats(outputs[0]).some((value, k) => !(Math.abs(value - (expected[k] ?? 0)) < ROUNDING));
        if (wrong) this.errors.push(`${model} ${seed}: ${floats(outputs[0])} instead of ${expected}`);
        this.answered++;
      } catch (error) {
        this.errors.push(`${model} ${seed}: ${String(error)}`);
        return;
      }
    }
  }
}
