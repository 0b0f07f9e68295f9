/**
 * The pieces that compiled readers call. A reader keeps its position in a local variable; a piece that moves it by
 * more than one byte leaves the new position in `cursor`, since a function has one result.
 *
 * Reading beyond the end of a Buffer gives undefined, which ends every variable-length number; a reader
 * checks its position once at its end. Only what allocates or loops by a number it has read checks that number first.
 */
import { undecodable } from './errors.ts';

export const cursor = { at: 0 };

// One 64-bit number seen as two 32-bit halves: the cheapest way from bits to a bigint.
// Low half first: x64 and arm64, the platforms of Node that we ship for, are little-endian.
const big = new BigInt64Array(1);
const halves = new Int32Array(big.buffer);

const TWO_27 = 2 ** 27;
const TWO_55 = 2 ** 55;

// The parts of a long of more than four bytes, as `readParts` found them: 28 low bits, 28 middle bits, 8 high bits.
const parts = { low: 0, middle: 0, high: 0 };

function readParts(bytes: Buffer, position: number, low: number): void {
  let at = position;
  let shift = 0;
  let middle = 0;
  let x = 128;
  while (x > 127 && shift < 28) {
    x = bytes[at++]!;
    middle |= (x & 127) << shift;
    shift += 7;
  }
  let high = 0;
  if (x > 127) {
    x = bytes[at++]!;
    high = x & 127;
    if (x > 127) {
      x = bytes[at++]!;
      if (x > 1) throw undecodable('a number of more than 64 bits');
      high |= x << 7;
    }
  }
  parts.low = low;
  parts.middle = middle;
  parts.high = high;
  cursor.at = at;
}

/** Reads a long as a number. Throws UNDECODABLE beyond 2^53. */
export function readLong(bytes: Buffer, position: number): number {
  let at = position;
  let x = bytes[at++]!;
  let low = x & 127;
  if (x > 127) {
    x = bytes[at++]!;
    low |= (x & 127) << 7;
    if (x > 127) {
      x = bytes[at++]!;
      low |= (x & 127) << 14;
      if (x > 127) {
        x = bytes[at++]!;
        low |= (x & 127) << 21;
        if (x > 127) return readLongTail(bytes, at, low);
      }
    }
  }
  cursor.at = at;
  return (low >>> 1) ^ -(low & 1);
}

function readLongTail(bytes: Buffer, at: number, low: number): number {
  readParts(bytes, at, low);
  const magnitude = (low >>> 1) + parts.middle * TWO_27 + parts.high * TWO_55;
  if (magnitude > Number.MAX_SAFE_INTEGER) throw undecodable('a number beyond 2^53 where none is expected');
  return low & 1 ? -magnitude - 1 : magnitude;
}

/** Reads a long as a bigint. */
export function readBigLong(bytes: Buffer, position: number): bigint {
  let at = position;
  let shift = 0;
  let low = 0;
  let x = 128;
  while (x > 127 && shift < 28) {
    x = bytes[at++]!;
    low |= (x & 127) << shift;
    shift += 7;
  }
  if (x > 127) {
    readParts(bytes, at, low);
  } else {
    parts.low = low;
    parts.middle = 0;
    parts.high = 0;
    cursor.at = at;
  }
  const lower = parts.low | (parts.middle << 28);
  const upper = (parts.middle >>> 4) | (parts.high << 24);
  const sign = -(lower & 1);
  halves[0] = ((lower >>> 1) | (upper << 31)) ^ sign;
  halves[1] = (upper >>> 1) ^ sign;
  return big[0]!;
}

/** Reads the length in front of a string or bytes. Throws UNDECODABLE when so many bytes are not left before `end`. */
export function readLength(bytes: Buffer, position: number, end: number): number {
  const length = readLong(bytes, position);
  if (length < 0 || length > end - cursor.at) throw undecodable('a length beyond the end of the record');
  return length;
}

const INTERN_SLOTS = 4096;
const interned: string[] = new Array<string>(INTERN_SLOTS).fill('');

/** The string of UTF-8 bytes [start, end); equal ASCII strings are usually the same JS string. Keeps at most 4,096 strings. */
export function internedString(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  // Long strings are told apart by a sample of their bytes: the comparison below decides.
  const step = length > 16 ? length >>> 3 : 1;
  let hash = length;
  for (let at = end - 1; at >= start; at -= step) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  const slot = (hash ^ (hash >>> 13)) & (INTERN_SLOTS - 1);
  const known = interned[slot]!;
  if (known.length === length) {
    let at = start;
    let index = 0;
    // A byte of a longer character is above 127 and the string's own unit at its place would have to equal it:
    // two different texts cannot agree in byte length and every unit, except through units 128–255, ruled out here.
    while (at < end && bytes[at]! < 128 && known.charCodeAt(index) === bytes[at]) {
      at++;
      index++;
    }
    if (at === end) return known;
  }
  const text = bytes.toString('utf8', start, end);
  if (length <= 256) interned[slot] = text;
  return text;
}

/** Writes a bigint into two 32-bit halves: [low, high]. The caller reads them before anything else is called. */
export function splitBigint(value: bigint): Int32Array {
  big[0] = value;
  return halves;
}
