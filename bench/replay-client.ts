/** A process that sends requests at recorded times and notes when each was sent and answered. Ends with its parent. */
import { type ClientHttp2Session, connect } from "node:http2";
import { call, toFrame } from "./load-loop.ts";
import type { ReplayCommand, ReplayReply } from "./replay-protocol.ts";

const WINDOW_BYTES = 1024 * 1024;
/** Node's own 10 MB would end streams while many requests wait in an overloaded server. */
const SESSION_MEMORY_MB = 1024;

async function replay(command: ReplayCommand): Promise<ReplayReply> {
  const session = await openSession(command.port);
  try {
    return await play(command, session);
  } finally {
    session.destroy();
  }
}

function play(command: ReplayCommand, session: ClientHttp2Session): Promise<ReplayReply> {
  const { arrivalsMs, mostInFlight, keepsAnswers } = command;
  const frames = command.messages.map(toFrame);
  const requests = arrivalsMs.length;
  const sentMs = new Float64Array(requests);
  const latenciesMs = new Float64Array(requests);
  const answers: Uint8Array[] = [];
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    let next = 0;
    let answered = 0;
    let inFlight = 0;
    let hasFailed = false;
    const send = (i: number): void => {
      const frame = frames[i % frames.length];
      if (frame === undefined) throw new Error("there is no message to send");
      const chunks: Buffer[] = [];
      const begunMs = performance.now();
      sentMs[i] = begunMs - startMs;
      inFlight++;
      call(session, frame, keepsAnswers ? (chunk) => chunks.push(chunk) : undefined, ({ status, text }) => {
        latenciesMs[i] = performance.now() - begunMs;
        inFlight--;
        if (status !== "0") {
          hasFailed = true;
          return reject(new Error(`request ${i}: ${status}: ${text}`));
        }
        if (keepsAnswers) answers[i] = Buffer.concat(chunks).subarray(5);
        if (++answered === requests) resolve({ kind: "replayed", sentMs, latenciesMs, answers });
        else sendDue();
      });
    };
    const sendDue = (): void => {
      const nowMs = performance.now() - startMs;
      while (!hasFailed && next < requests && inFlight < mostInFlight && (arrivalsMs[next] ?? 0) <= nowMs) send(next++);
    };
    const tick = (): void => {
      sendDue();
      if (next < requests && !hasFailed) setTimeout(tick, 1);
    };
    tick();
  });
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
      resolve(session);
    });
  });
}

process.on("message", (command: ReplayCommand) => {
  replay(command).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ kind: "failed", text: String(error) } satisfies ReplayReply),
  );
});
process.on("disconnect", () => process.exit());
