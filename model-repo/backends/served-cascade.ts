/** A cascade as the server serves it: the scheduler's cascade, and what is known of its certificates. */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, Gate } from "../../proto/files/cascade-file.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import type { CascadeModel } from "../../scheduler/cascade/cascade-model.ts";
import type { Model, ModelResponse } from "../../scheduler/model.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import type { ModelStatistics } from "../../scheduler/statistics.ts";
import type { CertificateFinding } from "./certificate-state.ts";

export interface ServedCascadeOptions {
  readonly cascade: CascadeModel;
  readonly file: CascadeFile;
  /** By operating point of the file. */
  readonly certificates: ReadonlyMap<string, CertificateFinding>;
  /** The point that serves where nothing else chooses, as the load decided. */
  readonly operatingPoint: string;
  /** Points that may be chosen while the server runs. */
  readonly selectable: ReadonlySet<string>;
  /** Whether the levels would answer what these gates ask of them. */
  readonly isReadyAt: (gates: readonly Gate[]) => boolean;
}

export class ServedCascade implements Model {
  readonly signature: ModelSignature;
  readonly statistics: ModelStatistics;
  readonly cascade: CascadeModel;
  readonly file: CascadeFile;
  /** The point that the load decided on. */
  readonly startPoint: string;
  readonly selectable: ReadonlySet<string>;
  readonly #certificates: ReadonlyMap<string, CertificateFinding>;
  readonly #isReadyAt: ServedCascadeOptions["isReadyAt"];
  #isChosen = false;

  constructor({ cascade, file, certificates, operatingPoint, selectable, isReadyAt }: ServedCascadeOptions) {
    this.signature = cascade.signature;
    this.statistics = cascade.statistics;
    this.cascade = cascade;
    this.file = file;
    this.startPoint = operatingPoint;
    this.selectable = selectable;
    this.#certificates = certificates;
    this.#isReadyAt = isReadyAt;
  }

  /** As the levels that its operating point asks. */
  get isReady(): boolean {
    const point = this.file.operatingPoints.find(({ name }) => name === this.operatingPoint);
    return this.#isReadyAt(point?.gates ?? []);
  }

  /** As the load found them; a drift alarm makes every one void. */
  get certificates(): ReadonlyMap<string, CertificateFinding> {
    const alarm = this.cascade.driftAlarm;
    if (alarm === null) return this.#certificates;
    const reason = `traffic is not what was certified: ${alarm.text}`;
    return new Map(
      [...this.#certificates].map(([point, finding]) => [
        point,
        finding.state === "valid" || finding.state === "unverified" ? { state: "void", reason } : finding,
      ]),
    );
  }

  /** The point of requests that name none, before load and drift choose. */
  get operatingPoint(): string {
    return this.cascade.operatingPoint;
  }

  /** The point that somebody chose while it runs; undefined: it is still the load's. */
  get chosenPoint(): string | undefined {
    return this.#isChosen ? this.operatingPoint : undefined;
  }

  /** Switches the point of requests that name none; throws INVALID_ARGUMENT for one that may not be chosen. */
  choose(name: string): void {
    if (!this.selectable.has(name)) {
      const choices = `it may be one of: ${[...this.selectable].join(", ")}`;
      const finding = this.certificates.get(name);
      throw new InferenceError(
        "INVALID_ARGUMENT",
        finding === undefined
          ? `model '${this.signature.name}' has no operating point '${name}'; ${choices}`
          : `operating point '${name}' of model '${this.signature.name}' is ${finding.state} (${finding.reason}): name ` +
              `it in the model's configuration or start the server with --allow-uncertified; ${choices}`,
      );
    }
    this.cascade.setOperatingPoint(name);
    this.#isChosen = true;
  }

  infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    return this.cascade.infer(request, cancellation);
  }

  close(): Promise<void> {
    return this.cascade.close();
  }
}
