/**
 * The load generator, a process of its own that takes LoadCommands over IPC. It speaks gRPC's framing straight over
 * node:http2 and sends bytes encoded beforehand, so it leaves as much of the machine to the server as a Node client
 * can. It ends with its parent.
 */
import { type ClientHttp2Session, connect } from "node:http2";
import { call, LoadLoop, toFrame } from "./load-loop.ts";
import type { LoadCommand, LoadReply } from "./load-protocol.ts";

/**
 * Larger than node:http2's own 64 KiB, so that answers of 600 KB do not wait for window updates, and not much larger:
 * node:http2 stops reading while a write of its own is held up, so two such ends whose windows both exceed the
 * sockets' buffers can wait for each other for ever (seen with 16 MiB here and 8 MiB at the server).
 */
const WINDOW_BYTES = 1024 * 1024;
/** Node's own 10 MB would reset streams at 32 images in flight. */
const SESSION_MEMORY_MB = 1024;

/** The generator's connections and payloads. */
class LoadClient {
  readonly #sessions = new Map<string, ClientHttp2Session[]>();
  readonly #frames = new Map<string, readonly Buffer[]>();

  async handle(command: LoadCommand): Promise<LoadReply> {
    switch (command.kind) {
      case "connect":
        this.#sessions.set(command.subject, await openSessions(command.port, command.connections));
        return { kind: "done" };
      case "payload":
        this.#frames.set(command.workload, command.messages.map(toFrame));
        return { kind: "done" };
      case "once":
        return this.#once(command.subject, command.workload, command.index);
      case "each":
        return this.#each(command.subject, command.workload, command.concurrency);
      case "measure": {
        const loop = new LoadLoop(command, this.#sessionsOf(command.subject), this.#framesOf(command.workload));
        return { kind: "measured", result: await loop.run() };
      }
    }
  }

  #once(subject: string, workload: string, index: number): Promise<LoadReply> {
    const session = this.#sessionsOf(subject)[0];
    const frame = this.#framesOf(workload)[index];
    if (session === undefined || frame === undefined) throw new Error(`${workload} has no message ${index}`);
    const chunks: Buffer[] = [];
    return new Promise((resolve) => {
      call(
        session,
        frame,
        (chunk) => chunks.push(chunk),
        (end) => {
          resolve({ kind: "answer", ...end, message: Buffer.concat(chunks).subarray(5) });
        },
      );
    });
  }

  /** Every message once, `concurrency` in flight; fails with the first call that does. */
  #each(subject: string, workload: string, concurrency: number): Promise<LoadReply> {
    const sessions = this.#sessionsOf(subject);
    const frames = this.#framesOf(workload);
    const messages = new Array<Uint8Array>(frames.length);
    let next = 0;
    let answered = 0;
    return new Promise((resolve) => {
      const send = (): void => {
        const index = next++;
        const frame = frames[index];
        const session = sessions[index % sessions.length];
        if (frame === undefined || session === undefined) return;
        const chunks: Buffer[] = [];
        call(
          session,
          frame,
          (chunk) => chunks.push(chunk),
          ({ status, text }) => {
            if (status !== "0") return resolve({ kind: "failed", text: `${workload}, ${index}: ${status}: ${text}` });
            messages[index] = Buffer.concat(chunks).subarray(5);
            if (++answered === frames.length) resolve({ kind: "answers", messages });
            else send();
          },
        );
      };
      for (let slot = 0; slot < concurrency; slot++) send();
    });
  }

  #sessionsOf(subject: string): readonly ClientHttp2Session[] {
    const sessions = this.#sessions.get(subject);
    if (sessions === undefined) throw new Error(`not connected to ${subject}`);
    return sessions;
  }

  #framesOf(workload: string): readonly Buffer[] {
    const frames = this.#frames.get(workload);
    if (frames === undefined) throw new Error(`no messages of ${workload}`);
    return frames;
  }
}

function openSessions(port: number, count: number): Promise<ClientHttp2Session[]> {
  return Promise.all(Array.from({ length: count }, () => openSession(port)));
}

function openSession(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`, {
    settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MB,
  });
  return new Promise((resolve, reject) => {
    session.once("error", reject);
    session.once("connect", () => {
      session.setLocalWindowSize(WINDOW_BYTES);
      session.off("error", reject);
      session.on("error", (error) => console.error(`connection to port ${port}: ${error.message}`));
      session.on("goaway", (code) => {
        if (code !== 0) console.error(`connection to port ${port}: GOAWAY with code ${code}`);
      });
      resolve(session);
    });
  });
}

const client = new LoadClient();
process.on("message", (command: LoadCommand) => {
  client.handle(command).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ kind: "failed", text: String(error) } satisfies LoadReply),
  );
});
process.on("disconnect", () => process.exit());
