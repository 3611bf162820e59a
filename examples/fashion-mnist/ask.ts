/** `npm run demo:ask`: sends test images through the running server and prints what the cascade answered. */
import { parseArgs } from "node:util";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { decodeInferResponse } from "../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../proto/codec/encode-request.ts";
import { type InferenceResponse, NO_PARAMETERS } from "../../proto/inference.ts";
import { IMAGE_SIDE, imageBytes, readTestSet, type TestSet } from "./dataset.ts";

const HELP = `Sends test images of the demo through the cascade "fashion" of a running server, one request an image.

  npm run demo:ask -- [options]

  --count N     images to send (default 6)
  --first N     index of the first, 0 to 1999 (default 10)
  --url H:P     the server's gRPC address (default localhost:8001)
  --help

Example: npm start in one terminal, then in another: npm run demo:ask -- --count 20
`;

/** A picture is 14 columns by 7 lines of characters, each standing for 2 x 4 pixels. */
const COLUMN_PIXELS = 2;
const LINE_PIXELS = 4;
const SHADES = " .:-=+*#%@";
const DEADLINE_MS = 10_000;

interface Answer {
  readonly label: number;
  readonly level: number;
  readonly confidence: number;
  readonly milliseconds: number;
}

/** Asks for one image; rejects with a ServiceError. */
async function ask(client: Client, image: Uint8Array): Promise<Answer> {
  const request = {
    modelName: "fashion",
    modelVersion: "",
    id: "",
    parameters: NO_PARAMETERS,
    inputs: [{ name: "image", datatype: "FP32", shape: [1, 1, IMAGE_SIDE, IMAGE_SIDE], data: image }],
    requestedOutputs: [],
  } as const;
  const start = performance.now();
  const response = await new Promise<InferenceResponse>((resolve, reject) => {
    client.makeUnaryRequest(
      "/inference.GRPCInferenceService/ModelInfer",
      encodeInferRequest,
      decodeInferResponse,
      request,
      { deadline: Date.now() + DEADLINE_MS },
      (error, value) => {
        if (value === undefined) reject(error);
        else resolve(value);
      },
    );
  });
  const milliseconds = performance.now() - start;
  const logits = Array.from({ length: 10 }, (_, i) => output(response, "logits").getFloat32(4 * i, true));
  return {
    label: logits.indexOf(Math.max(...logits)),
    level: output(response, "CASCADE_LEVEL").getInt32(0, true),
    confidence: output(response, "CASCADE_CONFIDENCE").getFloat32(0, true),
    milliseconds,
  };
}

function output(response: InferenceResponse, name: string): DataView {
  const data = response.outputs.find((tensor) => tensor.name === name)?.data;
  if (data === undefined) throw new Error(`the server's model "fashion" gives no output "${name}": is it the demo's?`);
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

/** An image as lines of characters, the darker the brighter. */
function picture(testSet: TestSet, index: number): string[] {
  const lines: string[] = [];
  for (let top = 0; top < IMAGE_SIDE; top += LINE_PIXELS) {
    let line = "";
    for (let left = 0; left < IMAGE_SIDE; left += COLUMN_PIXELS) {
      let sum = 0;
      for (let y = top; y < top + LINE_PIXELS; y++) {
        for (let x = left; x < left + COLUMN_PIXELS; x++) {
          sum += testSet.pixels[(index * IMAGE_SIDE + y) * IMAGE_SIDE + x] ?? 0;
        }
      }
      const mean = sum / (LINE_PIXELS * COLUMN_PIXELS);
      line += SHADES[Math.round(mean * (SHADES.length - 1))];
    }
    lines.push(line);
  }
  return lines;
}

/** One row of the table: the picture, and beside its middle the columns. */
function row(image: readonly string[], columns: readonly string[]): string {
  const widths = [16, 13, 7, 12, 13, 9];
  const middle = Math.floor(image.length / 2);
  return image
    .map((line, i) => [line, ...(i === middle ? columns : [])].map((text, c) => text.padEnd(widths[c] ?? 0)).join("  "))
    .map((line) => line.trimEnd())
    .join("\n");
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "6" },
      first: { type: "string", default: "10" },
      url: { type: "string", default: "localhost:8001" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const testSet = readTestSet();
  const [first, count] = [Number(values.first), Number(values.count)];
  if (!(Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count > 0)) {
    throw new TypeError("--first and --count are whole numbers");
  }
  if (first + count > testSet.count)
    throw new TypeError(`there are ${testSet.count} images; --first + --count is more`);
  const client = new Client(values.url, credentials.createInsecure());
  const levels: number[] = [];
  let right = 0;
  try {
    await ask(client, imageBytes(testSet, first, 1)); // opens the connection, which is not the time to show
    console.log(row([""], ["answer", "level", "confidence", "true label", "time"]));
    for (let index = first; index < first + count; index++) {
      const answer = await ask(client, imageBytes(testSet, index, 1));
      const label = testSet.labels[index] ?? 0;
      const name = (of: number) => testSet.labelNames[of] ?? String(of);
      const isRight = answer.label === label;
      if (isRight) right++;
      levels[answer.level] = (levels[answer.level] ?? 0) + 1;
      const confidence = `${(100 * answer.confidence).toFixed(1)} %`;
      const truth = isRight ? name(label) : `${name(label)}  <- wrong`;
      const time = `${answer.milliseconds.toFixed(1)} ms`;
      console.log(row(picture(testSet, index), [name(answer.label), String(answer.level), confidence, truth, time]));
    }
  } finally {
    client.close();
  }
  const perLevel = Array.from(levels, (answered: number | undefined, level) => `${answered ?? 0} at level ${level}`);
  console.log(`\n${right} of ${count} right; answered ${perLevel.join(", ")}`);
  return 0;
}

/** What went wrong, in one line that says what to do. */
function explain(error: unknown): string {
  const { code, details, message } = error as Partial<ServiceError>;
  if (code === status.UNAVAILABLE && /connection|resolution/i.test(details ?? "")) {
    return "no server answers at that address (--url); start the demo with: npm start";
  }
  if (code === status.NOT_FOUND || code === status.UNAVAILABLE) {
    return `the server does not serve the demo (${details}); start it with: npm start`;
  }
  return message ?? String(error);
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof TypeError;
  console.error(`demo:ask: ${explain(error)}${isUsage ? "\n(--help lists the options)" : ""}`);
  process.exitCode = isUsage ? 2 : 1;
}
