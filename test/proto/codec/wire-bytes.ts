/** Protobuf messages byte by byte, to write what no encoder would. */

/** A field with a varint value (its bytes as given), e.g. `varintField(1, 0x80, 1)`. */
export function varintField(field: number, ...value: number[]): Buffer {
  return Buffer.from([...varint(field << 3), ...value]);
}

/** A length-delimited field of the given parts. */
export function field(number: number, ...parts: (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  return Buffer.concat([Buffer.from(varint((number << 3) | 2)), Buffer.from(varint(body.length)), body]);
}

/** A number below 2^31 as a varint. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
