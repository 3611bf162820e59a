/** Triton's `identity` test backend, built in: INPUTn comes back as OUTPUTn, the same bytes, after an optional delay. */
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../scheduler/instance.ts";

export class IdentityInstance implements ModelInstance {
  readonly name: string;
  readonly #delayMs: number;
  readonly #clock: Clock;
  #running = 0;
  #onIdle: (() => void) | undefined;

  /** `delayMs`: time of every execution, Triton's `execute_delay_ms`. */
  constructor(name: string, delayMs: number, clock: Clock) {
    this.name = name;
    this.#delayMs = delayMs;
    this.#clock = clock;
  }

  async execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const startedMs = this.#clock.now();
    if (this.#delayMs > 0) {
      this.#running++;
      await new Promise<void>((resolve) => {
        this.#clock.at(startedMs + this.#delayMs, resolve);
      });
      this.#running--;
      if (this.#running === 0) this.#onIdle?.();
    }
    const timing = { computeInputMs: 0, computeInferMs: this.#clock.now() - startedMs, computeOutputMs: 0 };
    return { outputs: requests.map((request) => request.inputs.map(toOutput)), timing };
  }

  async close(): Promise<void> {
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }
}

function toOutput(input: Tensor): Tensor {
  return { ...input, name: outputOf(input.name) };
}

/** `INPUT3` -> `OUTPUT3`. */
export function outputOf(input: string): string {
  return `OUTPUT${input.slice("INPUT".length)}`;
}
