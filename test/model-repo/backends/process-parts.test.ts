/** The pure parts of instances in processes: frames, limits, command lines, restarts, texts. */
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { InstanceReply, RunMessage } from "../../../model-repo/backends/instance-protocol.ts";
import { afterCrash, afterRun, NO_CRASHES } from "../../../model-repo/backends/instance-restart.ts";
import { logLines } from "../../../model-repo/backends/log-lines.ts";
import { limitedCommand } from "../../../model-repo/backends/process-command.ts";
import { describeEnd, explainMemory } from "../../../model-repo/backends/process-end.ts";
import {
  PREFIX_BYTES,
  type ReceivedReply,
  ReplyReader,
  readPrefix,
  readRequestHeader,
  replyFrame,
  requestFrame,
  toRequest,
} from "../../../model-repo/backends/process-frames.ts";
import {
  parseCpuSeconds,
  parseProcessStatus,
  readProcessCpuSeconds,
} from "../../../model-repo/backends/process-usage.ts";
import { requestFingerprint } from "../../../model-repo/backends/request-fingerprint.ts";
import { type RunStatistics, RunTimes, runLimitMs } from "../../../model-repo/backends/run-limit.ts";
import { openSharedFile, readShared, writeShared } from "../../../model-repo/backends/shared-payload.ts";
import { fp32, request } from "../../support/tensors.ts";

/** Records as literals make them. */
const PLAIN = { noNullPrototype: true } as const;

describe("frames", () => {
  it("carry replies in any chunks", () => {
    const output = fc.record(
      {
        dims: fc.array(fc.nat(9)),
        data: fc.uint8Array({ maxLength: 90 }).map((bytes) => bytes.slice().buffer),
      },
      PLAIN,
    );
    const buffer = new ArrayBuffer(0);
    const reply: fc.Arbitrary<InstanceReply> = fc.oneof(
      fc.record(
        {
          type: fc.constant("ran" as const),
          id: fc.nat(),
          buffer: fc.constant(buffer),
          outputs: fc.array(output, { maxLength: 4 }),
          inputMs: fc.nat(),
          runMs: fc.nat(),
        },
        PLAIN,
      ),
      fc.record(
        {
          type: fc.constant("runFailed" as const),
          id: fc.nat(),
          buffer: fc.constant(buffer),
          code: fc.constant("INTERNAL" as const),
          message: fc.string({ unit: "grapheme" }),
        },
        PLAIN,
      ),
      fc.constant({ type: "loaded", inputs: [{ name: "größe", datatype: "FP32", dims: [-1] }], outputs: [] } as const),
      fc.constant({ type: "closed" } as const),
    );
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 6 }), fc.integer({ min: 1, max: 70 }), (replies, chunkBytes) => {
        const stream = Buffer.concat(replies.flatMap((message) => replyFrame(message)));
        const received: ReceivedReply[] = [];
        const reader = new ReplyReader((message) => received.push(message));
        for (let i = 0; i < stream.byteLength; i += chunkBytes) {
          // One piece of memory for all chunks: nothing may be kept of it.
          const chunk = Buffer.from(stream.subarray(i, i + chunkBytes));
          reader.push(chunk);
          chunk.fill(0xee);
        }
        const expected = replies.map((message) => {
          if (!("buffer" in message)) return message;
          const { buffer: _, ...rest } = message;
          return rest;
        });
        assert.deepEqual(received, expected);
      }),
      { numRuns: 300 },
    );
  });

  it("leave a payload to shared memory where that takes it", () => {
    const shared = new Uint8Array(100);
    const share = (pieces: readonly Uint8Array[]): boolean => {
      const bytes = Buffer.concat(pieces);
      if (bytes.byteLength > shared.byteLength || bytes.byteLength === 0) return false;
      shared.set(bytes);
      return true;
    };
    const readShared = (target: Uint8Array, position: number): void => {
      target.set(shared.subarray(position, position + target.byteLength));
    };
    const buffer = new ArrayBuffer(4096);
    for (const [sizes, isShared] of [
      [[60, 0, 40], true],
      [[60, 41], false],
      [[], false],
    ] as const) {
      const outputs = sizes.map((size, i) => ({ dims: [size], data: new Uint8Array(size).fill(i + 1).buffer }));
      const reply = { type: "ran", id: 1, buffer, outputs, inputMs: 0, runMs: 1 } as const;
      const stream = Buffer.concat(replyFrame(reply, share));
      assert.equal(stream.includes('"isShared":true'), isShared);
      const received: ReceivedReply[] = [];
      new ReplyReader((message) => received.push(message), readShared).push(stream);
      const { buffer: _, ...expected } = reply;
      assert.deepEqual(received, [expected]);
      if (isShared) assert.throws(() => new ReplyReader(() => undefined).push(stream), { message: /there is none/ });
    }

    const inputs = [{ name: "a", dims: [80], byteOffset: 0, byteLength: 80 }];
    const run: RunMessage = { type: "run", id: 5, buffer: new Uint8Array(4096).fill(9).buffer, inputs, outputs: ["y"] };
    const headerOf = ([head = new Uint8Array()]: readonly Uint8Array[]) =>
      readRequestHeader(head.subarray(PREFIX_BYTES));
    const taken = requestFrame(run, share);
    assert.deepEqual([taken.length, shared[79]], [1, 9]);
    assert.equal((headerOf(taken) as { sharedBytes?: number }).sharedBytes, 80);
    assert.deepEqual(toRequest(headerOf(taken), run.buffer), run);
    const refused = requestFrame(run, () => false);
    assert.deepEqual([refused.length, (headerOf(refused) as { sharedBytes?: number }).sharedBytes], [2, 0]);
  });

  it("carry a run's inputs as they lie in its buffer, and not what lies behind them", () => {
    const buffer = new Uint8Array(4096).fill(7).buffer;
    const inputs = [
      { name: "a", dims: [3], byteOffset: 0, byteLength: 3 },
      { name: "b", dims: [0], byteOffset: 64, byteLength: 0 },
      { name: "c", dims: [2], byteOffset: 64, byteLength: 2 },
    ];
    const run: RunMessage = { type: "run", id: 5, buffer, inputs, outputs: ["y"] };
    const [head, payload, ...rest] = requestFrame(run);
    assert.ok(head !== undefined && payload !== undefined && rest.length === 0);
    assert.equal(payload.buffer, buffer, "no copy");
    assert.equal(payload.byteLength, 66);
    const { headerBytes, payloadBytes } = readPrefix(head);
    assert.deepEqual([PREFIX_BYTES + headerBytes, payloadBytes], [head.byteLength, 66]);
    assert.deepEqual(toRequest(readRequestHeader(head.subarray(PREFIX_BYTES)), buffer), run);
    const empty = requestFrame({ ...run, inputs: [] });
    assert.equal(empty.length, 1);
  });

  it("are refused where they are none, or too large", () => {
    const frame = (magic: number, header: number, payloadHigh: number): Uint8Array => {
      const view = new DataView(new ArrayBuffer(PREFIX_BYTES));
      [magic, header, 0, payloadHigh].forEach((value, i) => {
        view.setUint32(4 * i, value, true);
      });
      return new Uint8Array(view.buffer);
    };
    const magic = 0x3149_5348;
    assert.deepEqual(readPrefix(frame(magic, 10, 1)), { headerBytes: 10, payloadBytes: 2 ** 32 });
    for (const bad of [frame(0x6c6c_6568, 10, 0), frame(magic, 2 ** 30, 0), frame(magic, 10, 5)]) {
      assert.throws(() => readPrefix(bad), { code: "INTERNAL", message: /not its protocol/ });
    }
    const [head] = replyFrame({ type: "closed" });
    const broken = Buffer.from(head ?? []);
    broken.fill(0x20, PREFIX_BYTES);
    assert.throws(() => new ReplyReader(() => undefined).push(broken), SyntaxError);
  });
});

describe("shared memory", () => {
  it("takes payloads of some size, in pieces, and gives them back", () => {
    const file = openSharedFile();
    assert.ok(file !== undefined, "this system has /dev/shm");
    const pieces = [new Uint8Array(40_000).fill(1), new Uint8Array(0), new Uint8Array(9).fill(2)];
    assert.equal(writeShared(file, pieces), true);
    const target = new Uint8Array(10);
    readShared(file, target, 39_999);
    assert.deepEqual([...target], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    assert.throws(() => readShared(file, target, 40_000), { code: "INTERNAL", message: /shorter than announced/ });
    assert.equal(writeShared(file, [new Uint8Array(1_000)]), false, "too small to be worth it");
    assert.equal(writeShared(file, [new Uint8Array(2 ** 26 + 1)]), false, "too large to keep");
    closeSync(file);
  });

  it("leaves to the socket what it has no room for", () => {
    const full = openSync("/dev/full", "w");
    assert.equal(writeShared(full, [new Uint8Array(100_000)]), false);
    closeSync(full);
  });
});

describe("restarts", () => {
  it("double their delay, start over after a run, and stop after five ends in a minute", () => {
    let history = NO_CRASHES;
    const delays: number[] = [];
    const crash = (nowMs: number) => {
      const decision = afterCrash(history, nowMs, 0);
      history = decision.history;
      delays.push(decision.delayMs);
      return decision.isDown;
    };
    assert.deepEqual([crash(0), crash(1_000), crash(2_000)], [false, false, false]);
    history = afterRun(history);
    assert.deepEqual([crash(3_000), crash(4_000), crash(5_000)], [false, true, true]);
    assert.deepEqual(delays, [200, 400, 800, 200, 30_000, 30_000]);
  });

  it("come back from being down when the ends lie a minute behind", () => {
    let history = NO_CRASHES;
    for (const nowMs of [0, 1, 2, 3]) history = afterCrash(history, nowMs, 0).history;
    assert.equal(afterCrash(history, 59_000, 0).isDown, true);
    assert.equal(afterCrash(history, 60_003, 0).isDown, false);
  });

  it("are spread, later only, so that a model that is down is tried at most every 30 s", () => {
    assert.equal(afterCrash(NO_CRASHES, 0, 0.5).delayMs, 210);
    let history = NO_CRASHES;
    for (let i = 0; i < 20; i++) history = afterCrash(history, i * 100_000, 0).history;
    assert.equal(afterCrash(history, 2_000_000, 0).delayMs, 30_000, "the longest delay also without being down");
  });
});

describe("the limit of a run", () => {
  it("is ten times the 99th percentile, at least two seconds, at most a minute, or as configured", () => {
    const statistics = { runs: 100, p99Ms: 5, largestBytes: 1_000 };
    const limit = (overrides: Partial<RunStatistics>, inputBytes = 10, configuredMs?: number) =>
      runLimitMs({ ...statistics, ...overrides }, inputBytes, configuredMs);
    assert.equal(limit({}, 1_000), 2_000);
    assert.equal(limit({ p99Ms: 700 }), 7_000);
    assert.equal(limit({ p99Ms: 700 }, 3_000), 21_000, "a batch larger than any before");
    assert.equal(limit({ p99Ms: 70_000 }), 60_000);
    assert.equal(limit({ runs: 3 }), 60_000, "not enough runs to judge by");
    assert.equal(limit({}, 10, 300), 300);
    assert.equal(limit({ p99Ms: 70_000 }, 10, 600_000), 600_000, "the configuration has the last word");
  });

  it("follows the last runs", () => {
    const times = new RunTimes();
    for (let i = 1; i <= 20; i++) times.add(i, 10 * i);
    assert.deepEqual(times.statistics, { runs: 20, p99Ms: 20, largestBytes: 200 });
    for (let i = 0; i < 268; i++) times.add(2, 50);
    assert.deepEqual(times.statistics, { runs: 288, p99Ms: 2, largestBytes: 200 });
    for (let i = 0; i < 16; i++) times.add(9, 50);
    assert.equal(times.statistics.p99Ms, 9);
  });
});

describe("command lines", () => {
  const command = { file: "node", args: ["child.js"] };
  const everywhere = (name: string) => `/bin/${name}`;
  const words = ({ file, args }: { file: string; args: readonly string[] }) => [file, ...args].join(" ");

  it("set what was asked for", () => {
    assert.equal(words(limitedCommand(command, {}, () => undefined)), "node child.js");
    assert.equal(words(limitedCommand(command, {}, everywhere)), "/bin/setpriv --pdeathsig KILL node child.js");
    assert.equal(
      words(limitedCommand(command, { cpus: "0-3,8,10-14:2", memoryLimitBytes: 2e8 }, everywhere)),
      "/bin/setpriv --pdeathsig KILL /bin/taskset --cpu-list 0-3,8,10-14:2 /bin/prlimit --data=200000000:200000000 node child.js",
    );
  });

  it("fail where the tool is missing, only if it was asked for", () => {
    assert.throws(() => limitedCommand(command, { cpus: "0" }, () => undefined), {
      code: "UNAVAILABLE",
      message: /^a core set of an instance's process needs the program 'taskset', .* install util-linux/,
    });
    assert.throws(() => limitedCommand(command, { memoryLimitBytes: 1e9 }, () => undefined), { message: /'prlimit'/ });
  });

  it("refuse a memory limit that Node does not start with", () => {
    assert.throws(() => limitedCommand(command, { memoryLimitBytes: 20_000_000 }, everywhere), {
      code: "RESOURCE_EXHAUSTED",
      message: "the memory limit of 19 MiB is too small: a process needs 96 MiB before it holds a model",
    });
  });

  it("take nothing but core lists for core sets", () => {
    for (const cpus of ["", "a", "0-", "0,,1", "--help", "0 1"]) {
      assert.throws(() => limitedCommand(command, { cpus }, everywhere), { code: "INVALID_ARGUMENT" });
    }
  });
});

describe("texts", () => {
  it("say how a process ended and name the memory limit where it explains that", () => {
    const limits = { memoryLimitBytes: 512 * 2 ** 20 };
    const end = { exitCode: null, signal: "SIGKILL", lastLine: "", limits };
    assert.equal(describeEnd(end), "killed by SIGKILL");
    assert.equal(
      describeEnd({ ...end, exitCode: 1, signal: null, lastLine: "taskset: no" }),
      "exit code 1 (taskset: no)",
    );
    assert.equal(
      describeEnd({ ...end, signal: "SIGABRT", lastLine: "FATAL ERROR: JavaScript heap out of memory" }),
      "killed by SIGABRT (FATAL ERROR: JavaScript heap out of memory); it needs more than its memory limit of 512 MiB",
    );
    const failure = (message: string) => ({ code: "INTERNAL", message }) as const;
    assert.deepEqual(explainMemory(failure("std::bad_alloc"), limits), {
      code: "RESOURCE_EXHAUSTED",
      message: "std::bad_alloc; it needs more than its memory limit of 512 MiB",
    });
    assert.deepEqual(explainMemory(failure("std::bad_alloc"), {}), failure("std::bad_alloc"));
    assert.deepEqual(explainMemory(failure("wrong shape"), limits), failure("wrong shape"));
  });

  it("of a child become plain lines", async () => {
    const stream = new PassThrough();
    const lines: string[] = [];
    const output = logLines(stream, (line) => lines.push(line));
    stream.write("one\n\n\u001b[1;31mtwo");
    stream.write(`\u001b[m\nthr${"e".repeat(5_000)}\n`);
    stream.end("last");
    await new Promise((resolve) => stream.once("end", resolve));
    assert.deepEqual([lines[0], lines[1], lines[2]?.length, lines[3], lines.length], ["one", "two", 2_000, "last", 4]);
    assert.equal(output.cause(), "last");
  });

  it("keep the line that tells why a process ends", async () => {
    const stream = new PassThrough();
    const output = logLines(stream, () => undefined);
    stream.end("<--- GCs --->\nFATAL ERROR: out of memory\n 1: 0x123\n");
    await new Promise((resolve) => stream.once("end", resolve));
    assert.equal(output.cause(), "FATAL ERROR: out of memory");
  });

  it("of /proc tell memory and CPU time of a process", () => {
    const status = "Name:\tnode\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\nVmData:\t   50 kB\nThreads:\t7\n";
    assert.deepEqual(parseProcessStatus(status), {
      residentBytes: 102_400,
      peakResidentBytes: 204_800,
      dataBytes: 51_200,
    });
    assert.equal(parseProcessStatus("Name:\tnode\nState:\tZ (zombie)\n"), undefined);
    const stat = "42 (a ) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 11 0 1";
    assert.equal(parseCpuSeconds(stat), 3);
    const { user, system } = process.cpuUsage();
    const seconds = readProcessCpuSeconds(process.pid) ?? 0;
    assert.ok(Math.abs(seconds - (user + system) / 1e6) < 0.1, `${seconds} s`);
  });
});

describe("requestFingerprint", () => {
  it("differs where the inputs do, and only there", () => {
    const a = fp32("a", [2], [1, 2]);
    const b = fp32("b", [2], [3, 4]);
    const base = requestFingerprint(request({ inputs: [a, b] }));
    assert.equal(requestFingerprint(request({ id: "other", inputs: [b, a] })), base);
    const others = [[a], [a, { ...b, shape: [1, 2] }], [a, fp32("b", [2], [3, 5])], [a, { ...b, name: "c" }]];
    for (const inputs of others) assert.notEqual(requestFingerprint(request({ inputs })), base);
  });
});
