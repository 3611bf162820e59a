/** A helper process of the bench that answers one command at a time over IPC. */
import { type ChildProcess, fork } from "node:child_process";

/** What every reply type of a helper process has in common. */
interface AnyReply {
  readonly kind: string;
}

/** The bench's end of a forked helper process. */
export class Child<Command extends object, Reply extends AnyReply> {
  readonly pid: number;
  readonly #process: ChildProcess;
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;

  /** Starts a module of this folder. */
  constructor(module: string) {
    this.#process = fork(new URL(module, import.meta.url), { serialization: "advanced", stdio: "inherit" });
    this.pid = this.#process.pid ?? 0;
    this.#process.on("message", (reply: Reply) => this.#settle(reply));
    this.#process.on("exit", (code, signal) => {
      this.#waiting?.reject(new Error(`${module} ended early (${signal ?? `exit code ${code}`})`));
      this.#waiting = undefined;
    });
  }

  /** Sends a command and waits for its reply; throws the text of a reply of kind `failed`. */
  request(command: Command): Promise<Reply> {
    const reply = this.next();
    this.#process.send(command);
    return reply;
  }

  /** The next reply, also one that answers no command (such as that a server listens). */
  next(): Promise<Reply> {
    if (this.#waiting !== undefined) throw new Error("a command is already in hand");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** Lets the process end; it exits when its IPC channel closes. */
  close(): void {
    if (this.#process.connected) this.#process.disconnect();
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (reply.kind === "failed" && "text" in reply) waiting?.reject(new Error(String(reply.text)));
    else waiting?.resolve(reply);
  }
}
