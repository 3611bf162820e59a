/** Why a running command should stop: SIGTERM, SIGINT or an exception that nobody caught. */
import type { CommandIo } from "./command.ts";

export type StopReason =
  | { readonly kind: "signal"; readonly name: NodeJS.Signals }
  | { readonly kind: "fault"; readonly message: string; readonly stack: string };

/** npm passes on a Ctrl-C that the terminal already delivered: the same signal so soon is still the first one. */
const SAME_SIGNAL_MS = 500;

/** Listens from its construction until closed; the second reason ends the process at once. */
export class StopSignal {
  /** Resolves with the first reason. */
  readonly reason: Promise<StopReason>;
  readonly #io: CommandIo;
  #resolve: (reason: StopReason) => void = () => undefined;
  #firstMs: number | undefined;

  constructor(io: CommandIo) {
    this.#io = io;
    this.reason = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    process.on("SIGTERM", this.#onSignal);
    process.on("SIGINT", this.#onSignal);
    process.on("uncaughtException", this.#onFault);
  }

  close(): void {
    process.off("SIGTERM", this.#onSignal);
    process.off("SIGINT", this.#onSignal);
    process.off("uncaughtException", this.#onFault);
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    const now = performance.now();
    if (this.#firstMs === undefined) {
      this.#firstMs = now;
      this.#resolve({ kind: "signal", name });
    } else if (now - this.#firstMs > SAME_SIGNAL_MS) {
      this.#io.stderr(`${name} again: ending at once\n`);
      endNow();
    }
  };

  readonly #onFault = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    const stack = (error instanceof Error ? error.stack : undefined) ?? message;
    if (this.#firstMs !== undefined) {
      this.#io.stderr(`error: ${stack}\n`);
      return;
    }
    this.#firstMs = performance.now();
    this.#resolve({ kind: "fault", message, stack });
  };
}

/** Ends the process without any cleaning up. `process.exit` would abort with a core dump while a model runs. */
export function endNow(): void {
  process.kill(process.pid, "SIGKILL");
}
