/** An instance in virtual time: every batch takes the same time, answers come from a function of the batch's inputs. */
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { VirtualClock } from "../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../scheduler/instance.ts";

export type Answer = (request: InferenceRequest) => readonly Tensor[];

export class TimedInstance implements ModelInstance {
  readonly name: string;
  readonly batches: (readonly InferenceRequest[])[] = [];
  closed = false;
  /** Set to make every following batch fail. */
  failure: Error | undefined;
  readonly #clock: VirtualClock;
  readonly #executeMs: number;
  readonly #answer: Answer;

  constructor(clock: VirtualClock, executeMs: number, answer: Answer = echo, name = "instance") {
    this.#clock = clock;
    this.#executeMs = executeMs;
    this.#answer = answer;
    this.name = name;
  }

  execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    this.batches.push(requests);
    return new Promise((resolve, reject) => {
      this.#clock.at(this.#clock.now() + this.#executeMs, () => {
        if (this.failure !== undefined) reject(this.failure);
        const timing = { computeInputMs: 0, computeInferMs: this.#executeMs, computeOutputMs: 0 };
        resolve({ outputs: requests.map(this.#answer), timing });
      });
    });
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Ids of the requests of each batch, as in "a+b". */
  get batchIds(): string[] {
    return this.batches.map((batch) => batch.map((request) => request.id).join("+"));
  }
}

/** INPUT0 comes back as OUTPUT0. */
export function echo(request: InferenceRequest): readonly Tensor[] {
  return request.inputs.map((input) => ({ ...input, name: input.name.replace("INPUT", "OUTPUT") }));
}
