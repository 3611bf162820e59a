/** Reads and checks the parameters of a confidence function. */
import { InferenceError } from "../../proto/errors.ts";
import type { ConfidenceFunction } from "../../proto/files/cascade-file.ts";

/** Asks for parameters by name; every complaint names function and parameter. Throws INVALID_ARGUMENT. */
export class Params {
  readonly #configured: ConfidenceFunction;
  readonly #asked = new Set<string>();

  constructor(configured: ConfidenceFunction) {
    this.#configured = configured;
  }

  /** A finite number; without `fallback` it must be there. */
  number(name: string, fallback?: number): number {
    const value = this.#value(name) ?? fallback;
    if (value === undefined) throw this.misfit(`needs the parameter '${name}'`);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.misfit(`parameter '${name}' must be a number`);
    return value;
  }

  /** Divisor of the logits: above 0, 1 where it is not given. */
  temperature(fallback?: number): number {
    const value = this.number("temperature", fallback);
    if (!(value > 0)) throw this.misfit("parameter 'temperature' must be a number above 0");
    return value;
  }

  /** A list of finite numbers, of `length` where that is given. */
  list(name: string, length?: number): Float64Array {
    const value = this.#value(name);
    if (value === undefined) throw this.misfit(`needs the parameter '${name}'`);
    if (typeof value === "number" || !value.every(Number.isFinite)) {
      throw this.misfit(`parameter '${name}' must be a list of numbers`);
    }
    if (length !== undefined && value.length !== length) {
      throw this.misfit(`parameter '${name}' has ${value.length} numbers; it needs ${length}`);
    }
    return Float64Array.from(value);
  }

  /** To be called last: refuses parameters that nothing asked for. */
  refuseOthers(): void {
    for (const name of Object.keys(this.#configured.params)) {
      if (!this.#asked.has(name)) throw this.misfit(`has no parameter '${name}'`);
    }
  }

  misfit(complaint: string): InferenceError {
    return new InferenceError("INVALID_ARGUMENT", `confidence function '${this.#configured.function}': ${complaint}`);
  }

  #value(name: string): number | readonly number[] | undefined {
    this.#asked.add(name);
    return this.#configured.params[name];
  }
}
