/** `hybridserve serve`: runs the server until a signal ends it. */
import { InferenceError } from "../proto/errors.ts";
import { type RunningServer, startServer } from "../server/main.ts";
import { serveHelp } from "../server/options/help.ts";
import { parseServeOptions, type ServeOptions } from "../server/options/serve-options.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, usageError } from "./command.ts";
import { endNow, type StopReason, StopSignal } from "./stop-signal.ts";

export const serveCommand: Command = {
  name: "serve",
  summary: "serve a model repository over gRPC, HTTP and metrics",
  help: serveHelp(),
  run: serve,
};

async function serve(argv: readonly string[], io: CommandIo): Promise<number> {
  let options: ServeOptions | "help";
  try {
    options = parseServeOptions(argv);
  } catch (error) {
    return usageError(io, "serve", InferenceError.from(error).message);
  }
  if (options === "help") {
    io.stdout(serveCommand.help);
    return EXIT_OK;
  }
  const signal = new StopSignal(io);
  const hangups = new Hangups(options.plan !== undefined);
  try {
    const output = options.json ? { stdout: () => undefined } : io;
    const server = await startServer(options, output);
    if (options.json) io.stdout(`${JSON.stringify({ ports: server.ports, models: server.models })}\n`);
    hangups.serve(server);
    return await stopped(server, await signal.reason, options, io);
  } catch (error) {
    const { message } = InferenceError.from(error);
    const isForeseen = error instanceof InferenceError;
    io.stderr(isForeseen || !(error instanceof Error) ? `error: ${message}\n` : `error: ${error.stack ?? message}\n`);
    return EXIT_FAILED;
  } finally {
    hangups.close();
    signal.close();
  }
}

/** SIGHUP: the plan is read again. One that comes while the server starts counts when it has started. */
class Hangups {
  #server: RunningServer | undefined;
  #isDue = false;

  /** Without a plan the signal keeps its usual meaning. */
  constructor(hasPlan: boolean) {
    if (hasPlan) process.on("SIGHUP", this.#onHangup);
  }

  serve(server: RunningServer): void {
    this.#server = server;
    if (this.#isDue) this.#onHangup();
  }

  close(): void {
    process.off("SIGHUP", this.#onHangup);
  }

  readonly #onHangup = (): void => {
    this.#isDue = this.#server === undefined;
    this.#server?.replan().catch(() => undefined); // the plan has logged why
  };
}

/** Stops the server and tells how that went as an exit code. */
async function stopped(
  server: RunningServer,
  reason: StopReason,
  options: ServeOptions,
  io: CommandIo,
): Promise<number> {
  const seconds = options.exitTimeoutMs / 1000;
  if (reason.kind === "signal") {
    server.log.info({ signal: reason.name }, "stopping: answering what is in hand");
    if (!options.json) {
      io.stdout(`Stopping (${reason.name}): up to ${seconds} s for the requests in hand; again to end at once\n`);
    }
  } else {
    server.log.error({ stack: reason.stack }, `uncaught exception, stopping: ${reason.message}`);
  }
  const timer = setTimeout(() => {
    io.stderr(`error: requests are still running after --exit-timeout-secs=${seconds}; ending without their answers\n`);
    endNow();
  }, options.exitTimeoutMs);
  await server.stop();
  clearTimeout(timer);
  return reason.kind === "signal" ? EXIT_OK : EXIT_FAILED;
}
