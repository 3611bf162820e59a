/** Damages protobuf messages in ways that keep most of their grammar; every choice comes from the given generator. */
import { varint } from "./wire-bytes.ts";

/** A field: a tag, and a value that is a number of bytes or, where it parses as a message, more fields. */
interface Node {
  tag: number;
  value: Buffer | Node[];
}

/** Random integers from 0 up to, not including, `bound`. */
export type Dice = (bound: number) => number;

/** A small generator of its own (mulberry32): equal seeds give equal runs on every machine. */
export function dice(seed: number): Dice {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** One to four mutations of a message: of its fields, then perhaps of its bytes. */
export function mutate(message: Buffer, roll: Dice): Buffer {
  const root = parse(message) ?? [];
  for (let count = 1 + roll(3); count > 0; count--) mutateTree(root, roll);
  const bytes = serialise(root);
  if (roll(3) === 0) mutateBytes(bytes, roll);
  return roll(8) === 0 ? bytes.subarray(0, roll(bytes.length + 1)) : bytes;
}

function mutateTree(root: Node[], roll: Dice): void {
  const lists = allLists(root).filter((list) => list.length > 0);
  const list = lists[roll(lists.length)];
  if (list === undefined) return;
  const at = roll(list.length);
  const node = list[at];
  if (node === undefined) return;
  switch (roll(9)) {
    case 0:
      list.splice(at, 1);
      return;
    case 1:
      list.splice(roll(list.length + 1), 0, node);
      return;
    case 2:
      list.push(...new Array<Node>(roll(50) === 0 ? 1_100 : 1 + roll(8)).fill(node));
      return;
    case 3:
      node.tag = (node.tag & ~7) | roll(8);
      return;
    case 4:
      node.tag = (roll(10) << 3) | (node.tag & 7);
      return;
    case 5:
      node.value = node.tag & 7 ? randomBytes(roll(40), roll) : extremeVarint(roll);
      return;
    case 6:
      node.value = [{ tag: node.tag, value: node.value }];
      return;
    case 7:
      node.value = Buffer.concat([extremeVarint(roll), Array.isArray(node.value) ? serialise(node.value) : node.value]);
      return;
    default:
      list.sort(() => roll(3) - 1);
  }
}

function mutateBytes(bytes: Buffer, roll: Dice): void {
  for (let count = 1 + roll(4); count > 0 && bytes.length > 0; count--) {
    const at = roll(bytes.length);
    const byte = bytes[at] ?? 0;
    bytes[at] = [byte ^ (1 << roll(8)), byte + 1, byte - 1, 0, 0x80, 0xff, roll(256)][roll(7)] ?? 0;
  }
}

/** 2^k and its neighbours. */
function extremeVarint(roll: Dice): Buffer {
  let rest = BigInt.asUintN(64, 2n ** BigInt(roll(65)) + BigInt(roll(3) - 1));
  const bytes: number[] = [];
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

function randomBytes(length: number, roll: Dice): Buffer {
  return Buffer.from(Array.from({ length }, () => roll(256)));
}

function allLists(list: Node[]): Node[][] {
  return [list, ...list.flatMap((node) => (Array.isArray(node.value) ? allLists(node.value) : []))];
}

/** The fields of a message; undefined where the bytes are none. */
function parse(bytes: Buffer): Node[] | undefined {
  const nodes: Node[] = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; at < bytes.length && shift < 28; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return -1;
  };
  while (at < bytes.length) {
    const tag = number();
    if (tag < 8) return undefined;
    const start = at;
    const wireType = tag & 7;
    if (wireType === 0) while ((bytes[at++] ?? 0) >= 0x80);
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = number();
      if (length < 0) return undefined;
      const body = bytes.subarray(at, at + length);
      at += length;
      nodes.push({ tag, value: (length > 0 ? parse(body) : undefined) ?? body });
    } else return undefined;
    if (at > bytes.length) return undefined;
    if (wireType !== 2) nodes.push({ tag, value: bytes.subarray(start, at) });
  }
  return nodes;
}

function serialise(nodes: readonly Node[]): Buffer {
  return Buffer.concat(
    nodes.flatMap(({ tag, value }) => {
      const body = Array.isArray(value) ? serialise(value) : value;
      return [Buffer.from(varint(tag)), ...((tag & 7) === 2 ? [Buffer.from(varint(body.length))] : []), body];
    }),
  );
}
