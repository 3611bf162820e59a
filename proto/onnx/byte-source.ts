/** Random access to the bytes of a model, in memory or on disk, without reading what nobody asks for. */
import { type FileHandle, open } from "node:fs/promises";
import { InferenceError } from "../errors.ts";

export interface ByteSource {
  /** Path of the file or what stands for it, for error texts. */
  readonly subject: string;
  readonly size: number;
  /** Bytes that are in memory already; undefined where they must be read. */
  peek(start: number, length: number): Buffer | undefined;
  /** Bytes from `start` on; the caller keeps within the size. The result is never written to again. */
  read(start: number, length: number): Promise<Buffer>;
}

export class MemorySource implements ByteSource {
  readonly subject: string;
  readonly size: number;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array, subject: string) {
    this.subject = subject;
    this.size = bytes.byteLength;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  peek(start: number, length: number): Buffer {
    return this.#bytes.subarray(start, start + length);
  }

  async read(start: number, length: number): Promise<Buffer> {
    return this.peek(start, length);
  }
}

/** Large enough for the text around weights, small enough to skip the weights. */
const WINDOW_BYTES = 65_536;

/** A file read in windows: neighbours of what was asked for come along, the rest stays on the disk. */
export class FileSource implements ByteSource {
  readonly subject: string;
  readonly size: number;
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  private constructor(file: FileHandle, subject: string, size: number) {
    this.#file = file;
    this.subject = subject;
    this.size = size;
  }

  /** Opens a regular file; the caller closes it. */
  static async open(path: string): Promise<FileSource> {
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (error) {
      throw new InferenceError("UNAVAILABLE", `cannot read '${path}': ${errorText(error)}`, { cause: error });
    }
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new InferenceError("UNAVAILABLE", `cannot read '${path}': it is not a file`);
      return new FileSource(file, path, stat.size);
    } catch (error) {
      await file.close();
      throw InferenceError.from(error);
    }
  }

  peek(start: number, length: number): Buffer | undefined {
    const from = start - this.#windowStart;
    if (from < 0 || from + length > this.#window.byteLength) return undefined;
    return this.#window.subarray(from, from + length);
  }

  async read(start: number, length: number): Promise<Buffer> {
    const known = this.peek(start, length);
    if (known !== undefined) return known;
    const window = Buffer.allocUnsafe(Math.min(Math.max(length, WINDOW_BYTES), this.size - start));
    const { bytesRead } = await this.#file.read(window, 0, window.byteLength, start);
    if (bytesRead < length) {
      throw new InferenceError("UNAVAILABLE", `cannot read '${this.subject}': it became shorter while it was read`);
    }
    this.#window = window.subarray(0, bytesRead);
    this.#windowStart = start;
    return this.#window.subarray(0, length);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
