/** A repository served by a plan answers as without one. Writes real stages and starts real processes: some seconds. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { InferenceResponse } from "../../../proto/inference.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { floats, fp32 } from "../../support/tensors.ts";
import { instanceProcesses, WITHOUT_PROC } from "../support/child-processes.ts";
import { inputRows, type PlacedRepository, placedRepository } from "../support/placed-repository.ts";
import { type StartedServer, startedServer } from "../support/started-server.ts";

interface GroupMessage {
  readonly name: string;
  readonly kind: string;
  readonly count: number;
}

interface ConfigMessage {
  readonly instance_group: readonly GroupMessage[];
  readonly dynamic_batching: {
    readonly preferred_batch_size: readonly number[];
    readonly max_queue_delay_microseconds: string;
  };
  readonly parameters: Readonly<Record<string, { readonly string_value: string }>>;
}

async function configOf({ client }: StartedServer, name: string): Promise<ConfigMessage> {
  return (await client.call("ModelConfig", { name }))["config"] as ConfigMessage;
}

function groups({ instance_group }: ConfigMessage): unknown[] {
  return instance_group.map(({ name, kind, count }) => [name, kind, count]);
}

function outputsOf({ outputs }: InferenceResponse): unknown[] {
  return outputs.map(({ name, shape, datatype, data }) => [name, shape, datatype, Buffer.from(data).toString("hex")]);
}

describe("a repository served by a plan", () => {
  let repository: PlacedRepository;
  let planned: StartedServer;
  let plain: StartedServer;
  const cleanup = new SharedCleanup();

  before(async () => {
    repository = await placedRepository(cleanup);
    const plan = await repository.write(repository.staged);
    [planned, plain] = await Promise.all([
      startedServer(cleanup, repository.models, `--plan=${plan}`),
      startedServer(cleanup, repository.models),
    ]);
  });
  after(() => cleanup.run());

  for (const model of ["small", "giant", "family"]) {
    it(`answers '${model}' bit for bit as without it`, async () => {
      for (const [seed, rows] of [1, 2, 3, 8].entries()) {
        const inputs = [inputRows(rows, seed)];
        const [with_, without] = await Promise.all([planned.infer(model, inputs), plain.infer(model, inputs)]);
        assert.deepEqual(outputsOf(with_), outputsOf(without));
      }
    });
  }

  it("asks both levels of the cascade, with the plan's gears", async () => {
    const inputs = [inputRows(16, 9)];
    const { parameters } = await planned.infer("family", inputs);
    assert.equal(parameters.get("cascade_operating_point")?.value, "AP");
    const rows = String(parameters.get("cascade_rows_per_level")?.value).split(",").map(Number);
    assert.ok(
      rows.every((count) => count > 0 && count < 16),
      `rows per level ${rows}`,
    );
    assert.equal((await configOf(planned, "family")).parameters["gears"]?.string_value, "AP@0/s,EO@150/s");
    assert.equal((await configOf(plain, "family")).parameters["gears"], undefined);
  });

  it("shows the placement as instance groups, and the plan's batching", async () => {
    const giant = await configOf(planned, "giant");
    assert.deepEqual(groups(giant), [
      ["giant-0", "KIND_CPU", 1],
      ["giant-1", "KIND_CPU", 1],
    ]);
    assert.deepEqual(giant.dynamic_batching.preferred_batch_size, [4]);
    assert.equal(giant.dynamic_batching.max_queue_delay_microseconds, "1000");
    assert.deepEqual(groups(await configOf(planned, "small")), [["small-0", "KIND_CPU", 2]]);
  });

  it("runs each copy in a process on its device", { skip: WITHOUT_PROC }, async () => {
    const cores = repository.staged.devices.map(({ cpus }) => cpus);
    const limit = repository.staged.classes[0]?.memoryBytes;
    const processes = await instanceProcesses(process.pid);
    assert.deepEqual(processes.map(({ cpus }) => cpus).sort(), [...cores, ...cores].sort());
    assert.deepEqual([...new Set(processes.map(({ memoryLimitBytes }) => memoryLimitBytes))], [limit]);
  });

  it("counts a staged request once", async () => {
    const statistics = async () => {
      const { model_stats } = (await planned.client.call("ModelStatistics", { name: "giant" })) as {
        model_stats: { inference_count: string; execution_count: string }[];
      };
      return model_stats.map((stats) => [Number(stats.inference_count), Number(stats.execution_count)]);
    };
    const [[rows = 0, runs = 0] = []] = await statistics();
    await planned.infer("giant", [inputRows(3, 1)]);
    assert.deepEqual(await statistics(), [[rows + 3, runs + 1]]);
  });

  it("puts requests that wait together into batches of the plan's size", async () => {
    const statistics = async () => {
      const { model_stats } = (await planned.client.call("ModelStatistics", { name: "giant" })) as {
        model_stats: { batch_stats: { batch_size: string }[] }[];
      };
      return new Set(model_stats.flatMap(({ batch_stats }) => batch_stats.map(({ batch_size }) => batch_size)));
    };
    await Promise.all(Array.from({ length: 24 }, (_, i) => planned.infer("giant", [inputRows(1, i)])));
    const sizes = [...(await statistics())].map(Number);
    assert.ok(sizes.includes(4), `batch sizes ${sizes}`);
  });

  it("tells in the metrics that the plan is in use", async () => {
    assert.match(await planned.metrics(), /^hybridserve_placement_plan_state\{state="ok"\} 1$/m);
    assert.match(await planned.metrics(), /^hybridserve_placement_plan_state\{state="stale"\} 0$/m);
    assert.doesNotMatch(await plain.metrics(), /hybridserve_placement_plan_state/);
  });

  it("leaves a model alone that the plan does not name", async () => {
    const input = fp32("x", [2, 1], [1, 5]);
    const [with_, without] = await Promise.all([planned.infer("other", [input]), plain.infer("other", [input])]);
    assert.deepEqual(floats(with_.outputs[0]), [3, 11]);
    assert.deepEqual(outputsOf(with_), outputsOf(without));
    assert.deepEqual(groups(await configOf(planned, "other")), groups(await configOf(plain, "other")));
  });
});
