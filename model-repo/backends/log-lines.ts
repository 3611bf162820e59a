/** What a child process prints becomes lines of the server's log. */
import type { Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";

/** Longer lines are cut: a log line is for people. */
const MAX_LINE = 2_000;

/** Of several lines this one says why the process ends; what follows is a stack. */
const FATAL = /fatal/i;

/** Calls back with each line. `cause`: the line that tells best why the process ended, the last one if none stands out. */
export function logLines(stream: Readable, onLine: (line: string) => void): { cause(): string } {
  let rest = "";
  let cause = "";
  const take = (line: string): void => {
    const plain = stripVTControlCharacters(line).trimEnd().slice(0, MAX_LINE);
    if (plain === "") return;
    if (!FATAL.test(cause)) cause = plain;
    onLine(plain);
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
  return { cause: () => cause };
}
