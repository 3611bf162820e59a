/** Service times of a running server's models by batch size, from its ModelStatistics. */
import { type Client, credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { loadServices } from "../proto/load.ts";

/** One batch size of one model: runs so far and the time they took, as the scheduler sees it. */
export interface BatchTotals {
  readonly runs: number;
  readonly ms: number;
}

/** Model -> batch size -> totals since the server started. */
export type ServiceTotals = ReadonlyMap<string, ReadonlyMap<number, BatchTotals>>;

/** The part of ModelStatistics that is read, as proto-loader gives it. */
interface WireTotals {
  readonly model_stats: readonly {
    readonly name: string;
    readonly batch_stats: readonly ({ readonly batch_size: string } & Readonly<Record<string, WireDuration>>)[];
  }[];
}

interface WireDuration {
  readonly count: string;
  readonly ns: string;
}

const PARTS = ["compute_input", "compute_infer", "compute_output"] as const;

export class StatisticsClient {
  readonly #client: Client;

  constructor(port: number) {
    const { inference } = loadServices();
    this.#client = new (makeGenericClientConstructor(inference, "inference"))(
      `127.0.0.1:${port}`,
      credentials.createInsecure(),
    );
  }

  totals(): Promise<ServiceTotals> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        "/inference.GRPCInferenceService/ModelStatistics",
        () => Buffer.alloc(0),
        (bytes: Buffer) => decode(bytes),
        {},
        (error, reply) => {
          if (error !== null || reply === undefined) reject(error ?? new Error("ModelStatistics answered nothing"));
          else resolve(toTotals(reply));
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

function decode(bytes: Buffer): WireTotals {
  const method = loadServices().inference["ModelStatistics"];
  if (method === undefined) throw new Error("the protocol has no ModelStatistics");
  return method.responseDeserialize(bytes) as WireTotals; // proto-loader's objects carry no types
}

function toTotals({ model_stats }: WireTotals): ServiceTotals {
  return new Map(
    model_stats.map(({ name, batch_stats }) => [
      name,
      new Map(
        batch_stats.map((stats) => [
          Number(stats.batch_size),
          {
            runs: Number(stats["compute_infer"]?.count ?? 0),
            ms: PARTS.reduce((sum, part) => sum + Number(stats[part]?.ns ?? 0) / 1e6, 0),
          },
        ]),
      ),
    ]),
  );
}

/** What happened between two looks, as means by ascending batch size; sizes that ran less often than `least` left out. */
export function meansBetween(before: ServiceTotals, after: ServiceTotals, model: string, least: number) {
  const sizes = [...(after.get(model) ?? [])].sort(([a], [b]) => a - b);
  return sizes.flatMap(([batchSize, { runs, ms }]) => {
    const earlier = before.get(model)?.get(batchSize) ?? { runs: 0, ms: 0 };
    const own = runs - earlier.runs;
    return own < least ? [] : [{ batchSize, runs: own, meanMs: (ms - earlier.ms) / own }];
  });
}
