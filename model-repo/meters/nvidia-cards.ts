/** The NVIDIA cards of this machine. */
import { InferenceError } from "../../proto/errors.ts";
import { NVML_LIBRARY, type Nvml, openNvml } from "./nvml-library.ts";

export interface NvidiaCard {
  /** CUDA's number where CUDA_DEVICE_ORDER is PCI_BUS_ID. */
  readonly ordinal: number;
  /** Such as `NVIDIA H100 80GB HBM3`. */
  readonly name: string;
  readonly memoryBytes: number;
}

/** Empty where there is no driver; `problem` says what else keeps the driver from telling. */
export async function nvidiaCards(
  library: string = NVML_LIBRARY,
): Promise<{ readonly cards: readonly NvidiaCard[]; readonly problem: string | undefined }> {
  let nvml: Nvml;
  try {
    nvml = await openNvml(library);
  } catch (error) {
    return { cards: [], problem: InferenceError.from(error).message };
  }
  try {
    const cards = Array.from({ length: nvml.deviceCount() }, (_, ordinal): NvidiaCard => {
      const handle = nvml.handle(ordinal);
      return { ordinal, name: nvml.cardName(handle), memoryBytes: nvml.memory(handle).totalBytes };
    });
    return { cards, problem: undefined };
  } catch (error) {
    return { cards: [], problem: InferenceError.from(error).message };
  } finally {
    nvml.close();
  }
}

/** How much of a card's memory is in use, by whomever. */
export interface CardMemory {
  usedBytes(ordinal: number): number;
  close(): void;
}

/** Rejects (UNAVAILABLE) with what is missing. */
export async function openCardMemory(library: string = NVML_LIBRARY): Promise<CardMemory> {
  const nvml = await openNvml(library);
  return {
    usedBytes: (ordinal) => nvml.memory(nvml.handle(ordinal)).usedBytes,
    close: () => nvml.close(),
  };
}
