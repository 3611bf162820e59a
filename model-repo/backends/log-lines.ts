/** What a child process prints becomes lines of the server's log. */
import type { Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";

/** Longer lines are cut: a log line is for people. */
const MAX_LINE = 2_000;

/** Calls back with each line; the last one also says why a process ended. */
export function logLines(stream: Readable, onLine: (line: string) => void): { last(): string } {
  let rest = "";
  let last = "";
  const take = (line: string): void => {
    const plain = stripVTControlCharacters(line).trimEnd().slice(0, MAX_LINE);
    if (plain === "") return;
    last = plain;
    onLine(last);
  };
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) take(line);
  });
  stream.on("end", () => {
    take(rest);
    rest = "";
  });
  return { last: () => last };
}
