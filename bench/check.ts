/**
 * `npm run bench:check`: holds the gates against the server in its shipped configuration. Every round measures server
 * and floor one after the other, so that a busy machine disturbs both alike. Exit code 1 when a gate fails.
 */
import { decodeInferRequest } from "../proto/codec/decode-request.ts";
import { InferenceError } from "../proto/errors.ts";
import { TRITON_LIMITS } from "../proto/limits.ts";
import { Bench, ECHO } from "./bench.ts";
import { CHECKOUT } from "./environment.ts";
import { type Gate, overheadGate, type Round, ratioGate, refusalGate } from "./gates.ts";
import { disturbance } from "./report.ts";

const SERVER = "hybridserve";
const ROUNDS = 9;
const CONCURRENCY = 32;
const WARMUP_MS = 250;
const MEASURE_MS = 1000;
const COMPUTE_MS = 300;

/** Identity: CPU of the server over CPU of the echo. */
const MAX_IDENTITY_RATIO = 1.35;
/** The l model: CPU µs per request over bare onnxruntime. */
const MAX_OVERHEAD_US = 150;
/** The message with 2,097,152 empty inputs. */
const MAX_REFUSAL_MS = 5;
const EMPTY_INPUTS = 2_097_152;
const REFUSALS = 21;
const HOSTILE = "empty-inputs";
/** grpc-status of INVALID_ARGUMENT and RESOURCE_EXHAUSTED: the two honest refusals of a message beyond a limit. */
const REFUSED = ["3", "8"];

async function main(): Promise<void> {
  const hostile = emptyInputs(EMPTY_INPUTS);
  const gates: Gate[] = [refusalGate("empty inputs", timeRefusals(hostile), MAX_REFUSAL_MS)];
  let otherCores: number[];
  const bench = await Bench.open({
    servers: [{ name: SERVER, checkout: CHECKOUT }],
    only: ["identity-small", "identity-image", "fashion-l-b1"],
    connections: 1,
    nodeFlags: [],
  });
  try {
    gates.push(await wireRefusal(bench, hostile));
    const measured = await measureRounds(bench);
    const { rounds } = measured;
    otherCores = measured.otherCores;
    gates.push(ratioGate("identity small", rounds.get("identity-small") ?? [], MAX_IDENTITY_RATIO));
    gates.push(ratioGate("identity image", rounds.get("identity-image") ?? [], MAX_IDENTITY_RATIO));
    gates.push(overheadGate("l model", rounds.get("fashion-l-b1") ?? [], MAX_OVERHEAD_US));
  } finally {
    await bench.close();
  }
  console.log(disturbance(otherCores));
  for (const { passed, name, text } of gates) console.log(`${passed ? "pass" : "FAIL"}  ${name.padEnd(24)}${text}`);
  process.exitCode = gates.every((gate) => gate.passed) ? 0 : 1;
}

/** CPU µs per request of server and floor in every round, by workload; and how busy other processes kept the machine. */
async function measureRounds(bench: Bench): Promise<{ rounds: Map<string, Round[]>; otherCores: number[] }> {
  const otherCores: number[] = [];
  const rounds = new Map(bench.workloads.map((workload) => [workload.name, [] as Round[]]));
  for (let round = 0; round < ROUNDS; round++) {
    process.stderr.write(`round ${round + 1}/${ROUNDS}\n`);
    for (const workload of bench.workloads) {
      const measure = async (subject: string) => {
        const measured = await bench.measure(subject, workload, CONCURRENCY, WARMUP_MS, MEASURE_MS);
        if (measured.serverCpuUs === undefined) throw new Error("the gates need CPU times from Linux' /proc");
        otherCores.push(measured.otherCores ?? 0);
        return { ...measured, cpuUs: measured.serverCpuUs };
      };
      if (workload.echoes) {
        const echoFirst = round % 2 === 1;
        const first = await measure(echoFirst ? ECHO : SERVER);
        const second = await measure(echoFirst ? SERVER : ECHO);
        const [server, echo] = echoFirst ? [second, first] : [first, second];
        rounds.get(workload.name)?.push({ serverUs: server.cpuUs, floorUs: echo.cpuUs });
      } else {
        const server = await measure(SERVER);
        const floorUs = await bench.computeFloorUs(workload, server.served, COMPUTE_MS);
        rounds.get(workload.name)?.push({ serverUs: server.cpuUs, floorUs });
      }
    }
  }
  return { rounds, otherCores };
}

/** A ModelInferRequest of nothing but empty inputs: two bytes each, field 5 and length 0. */
function emptyInputs(count: number): Uint8Array {
  const message = new Uint8Array(2 * count);
  for (let i = 0; i < message.length; i += 2) message[i] = (5 << 3) | 2;
  return message;
}

/** Milliseconds that each of several refusals took, the first with cold code. */
function timeRefusals(message: Uint8Array): number[] {
  return Array.from({ length: REFUSALS }, () => {
    const startMs = performance.now();
    try {
      decodeInferRequest(message, TRITON_LIMITS);
    } catch (error) {
      if (error instanceof InferenceError) return performance.now() - startMs;
      throw error;
    }
    throw new Error("the message of empty inputs was accepted");
  });
}

/** The same message sent to the server: refused with a status for it. */
async function wireRefusal(bench: Bench, message: Uint8Array): Promise<Gate> {
  await bench.addMessages(HOSTILE, [message]);
  const { status, text } = await bench.once(SERVER, HOSTILE, 0);
  return {
    name: "empty inputs, served",
    passed: REFUSED.includes(status),
    text: `status ${status}: ${decodeURI(text)}`,
  };
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
