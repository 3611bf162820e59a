import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { nvidiaCards, openCardMemory } from "../../../model-repo/meters/nvidia-cards.ts";
import { integrator, type NvmlMeters, nvmlMeters } from "../../../model-repo/meters/nvml.ts";
import { skipWithout } from "../../support/missing-tool.ts";
import { runCommand } from "../../support/run-command.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

/**
 * A libnvidia-ml with the real one's signatures. Its cards: 0 counts energy and is whole, 1 is cut (MIG), 2 tells power
 * only, 3 tells nothing, 4 has fallen off the bus. Energy and power come from a file, so that a test can turn them.
 */
const STUB = `
#include <stdio.h>
#include <string.h>
typedef struct card { int index; } *device_t;
static struct card cards[5] = {{0}, {1}, {2}, {3}, {4}};
static int is_open = 0;
static unsigned long long value(void) {
  unsigned long long number = 0;
  FILE *file = fopen(VALUE_FILE, "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%llu", &number) != 1) number = 0;
  fclose(file);
  return number;
}
const char *nvmlErrorString(int code) { return code == 15 ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "Unknown Error"; }
int nvmlInit_v2(void) { if (INIT_CODE == 0) is_open = 1; return INIT_CODE; }
int nvmlShutdown(void) { is_open = 0; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { if (!is_open) return 1; *count = CARDS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device) {
  if (index == 4) return 15;
  *device = &cards[index];
  return 0;
}
int nvmlDeviceGetUUID(device_t device, char *uuid, unsigned int length) {
  snprintf(uuid, length, "GPU-%d", device->index);
  return 0;
}
int nvmlDeviceGetName(device_t device, char *name, unsigned int length) {
  snprintf(name, length, "Card %d", device->index);
  return 0;
}
int nvmlDeviceGetMemoryInfo(device_t device, unsigned long long *memory) {
  memory[0] = 85899345920ULL;
  memory[1] = 1;
  memory[2] = 4096;
  return device->index == 3 ? 999 : 0;
}
int nvmlDeviceGetMigMode(device_t device, unsigned int *current, unsigned int *pending) {
  if (device->index == 0) return 3;
  *current = *pending = device->index == 1;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(device_t device, unsigned long long *millijoules) {
  if (device->index > 1) return 3;
  *millijoules = value();
  return 0;
}
int nvmlDeviceGetPowerUsage(device_t device, unsigned int *milliwatts) {
  if (device->index > 2) return 3;
  *milliwatts = (unsigned int)value();
  return 0;
}
`;

const hasCompiler = await runCommand("cc", ["--version"]).then(
  ({ code }) => code === 0,
  () => false,
);
const skip = skipWithout(hasCompiler ? undefined : "a C compiler (cc) for the stand-in of libnvidia-ml");

interface Stub {
  readonly meters: NvmlMeters;
  readonly library: string;
  /** Sets what the cards count (mJ) or use (mW). */
  set(value: number): Promise<void>;
  setNowMs(ms: number): void;
}

async function openStub(context: TestContext, { initCode = 0, cards = 5 } = {}): Promise<Stub> {
  const folder = await temporaryFiles(context, { "stub.c": STUB, value: "1000" });
  const library = join(folder, "libnvidia-ml.so.1");
  const values = join(folder, "value");
  const flags = ["-shared", "-fPIC", `-DINIT_CODE=${initCode}`, `-DCARDS=${cards}`, `-DVALUE_FILE="${values}"`];
  const { code, stderr } = await runCommand("cc", [...flags, "-o", library, join(folder, "stub.c")]);
  assert.equal(code, 0, stderr);
  let nowMs = 0;
  const meters = await nvmlMeters(library, () => nowMs);
  context.after(() => meters.close());
  return {
    meters,
    library,
    set: (value) => writeFile(values, String(value)),
    setNowMs: (ms) => {
      nowMs = ms;
    },
  };
}

describe("NVML meters", { skip }, () => {
  it("are the cards that tell something, each with its source, scope and method", async (context) => {
    const { meters } = await openStub(context);
    assert.deepEqual(
      meters.present.map(({ source, scope, method, ordinal }) => [source, scope, method, ordinal]),
      [
        ["nvml:GPU-0", "gpu", "counter", 0],
        ["nvml:GPU-1", "board-shared", "counter", 1],
        ["nvml:GPU-2", "gpu", "power-integral", 2],
      ],
    );
    assert.deepEqual(meters.absent, [
      {
        source: "nvml:3",
        reason: "the card tells neither energy (nvmlDeviceGetTotalEnergyConsumption) nor power",
      },
      { source: "nvml:4", reason: "nvmlDeviceGetHandleByIndex_v2: GPU is lost (code 15)" },
    ]);
  });

  it("read the card's counter from where they were opened, beyond 32 bits too", async (context) => {
    const { meters, set } = await openStub(context);
    const [card] = meters.present;
    assert.equal(card?.readJoules(), 0);
    await set(3_500);
    assert.equal(card?.readJoules(), 2.5);
    await set(9_000_000_001_000);
    assert.equal(card?.readJoules(), 9e9);
  });

  it("add up power where the card has no counter", async (context) => {
    const { meters, set, setNowMs } = await openStub(context);
    const card = meters.present[2];
    setNowMs(500);
    await set(3_000);
    // From 1 W to 3 W in half a second.
    assert.equal(card?.readJoules(), 1);
    setNowMs(1_500);
    assert.equal(card?.readJoules(), 4);
  });

  it("are absent where the library does not start, in its words", async (context) => {
    const { meters } = await openStub(context, { initCode: 9 });
    assert.deepEqual(meters.present, []);
    assert.deepEqual(meters.absent, [{ source: "nvml", reason: "nvmlInit_v2: Driver Not Loaded (code 9)" }]);
  });

  it("are absent where the library is another one", async (context) => {
    const folder = await temporaryFiles(context, { "empty.c": "int nothing;\n" });
    const library = join(folder, "libnvidia-ml.so.1");
    assert.equal((await runCommand("cc", ["-shared", "-fPIC", "-o", library, join(folder, "empty.c")])).code, 0);
    const { absent } = await nvmlMeters(library, () => 0);
    assert.match(absent[0]?.reason ?? "", /libnvidia-ml\.so\.1 lacks a function: .*nvmlErrorString/);
  });
});

describe("NVIDIA cards", { skip }, () => {
  it("are listed by name and memory", async (context) => {
    const { library } = await openStub(context, { cards: 2 });
    const memoryBytes = 80 * 2 ** 30;
    assert.deepEqual(await nvidiaCards(library), {
      cards: [
        { ordinal: 0, name: "Card 0", memoryBytes },
        { ordinal: 1, name: "Card 1", memoryBytes },
      ],
      problem: undefined,
    });
  });

  it("tell how much of their memory is in use", async (context) => {
    const { library } = await openStub(context);
    const memory = await openCardMemory(library);
    assert.equal(memory.usedBytes(1), 4096);
    assert.throws(() => memory.usedBytes(4), /GPU is lost/);
    memory.close();
    await assert.rejects(openCardMemory("/nowhere/libnvidia-ml.so.1"), /install the NVIDIA driver/);
  });

  it("are none where the driver does not answer, with its words", async (context) => {
    const { library } = await openStub(context, { cards: 4 });
    assert.deepEqual(await nvidiaCards(library), {
      cards: [],
      problem: "nvmlDeviceGetMemoryInfo: Unknown Error (code 999)",
    });
    assert.deepEqual((await nvidiaCards("/nowhere/libnvidia-ml.so.1")).cards, []);
  });
});

describe("integrator", () => {
  it("is the area under straight lines between readings", () => {
    const watts = [100, 200, 200, 0];
    let reading = 0;
    const read = integrator(
      () => watts[reading++] ?? 0,
      () => (reading - 1) * 1000,
    );
    assert.deepEqual([read(), read(), read()], [150, 350, 450]);
  });
});
