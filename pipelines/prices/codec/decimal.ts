/** Decimals as Debezium writes them (plain text) to integers, and sums too large for 64 bits as Avro bytes. */
import { splitBigint } from '../../../engine/avro/primitives.ts';
import type { Span } from '../../../engine/avro/projection.ts';

const DASH = 45;
const DOT = 46;
const ZERO = 48;
const FRACTION_DIGITS = 6;
/** So many digits are exact in a number. */
const NUMBER_DIGITS = 15;

/**
 * An Avro string like `-12.340000` in millionths: -12340000n. Null for what is none (NaN) or has digits beyond the sixth decimal.
 * Six decimals and 18 digits are what the column has.
 */
export function decimalE6(bytes: Uint8Array, { start, end }: Span): bigint | null {
  let at = start;
  while (bytes[at]! > 127) at++; // the length in front
  at++;
  const negative = bytes[at] === DASH;
  if (negative) at++;
  let value = 0;
  let large = 0n;
  let digits = 0;
  let whole = -1;
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      if (++digits === NUMBER_DIGITS) {
        large = BigInt(value);
        value = 0;
      }
    } else if (bytes[at] === DOT && whole < 0 && digits > 0) whole = digits;
    else return null;
  }
  if (digits === 0 || digits === whole || digits > 2 * NUMBER_DIGITS - 1) return null;
  const missing = FRACTION_DIGITS - (whole < 0 ? 0 : digits - whole);
  if (missing < 0) return null;
  const unscaled =
    digits < NUMBER_DIGITS ? BigInt(value) : large * 10n ** BigInt(digits - NUMBER_DIGITS) + BigInt(value);
  const scaled = missing === 0 ? unscaled : unscaled * 10n ** BigInt(missing);
  return negative ? -scaled : scaled;
}

/** Big-endian, two's complement, as few bytes as hold it: as Avro's decimals. */
export function bytesOf(value: bigint): Buffer {
  const low = BigInt.asIntN(64, value);
  if (low === value) return bytesOf64(low);
  let words = 1;
  while (BigInt.asIntN(words * 64, value) !== value) words++;
  const bytes = Buffer.allocUnsafe(words * 8);
  let rest = value;
  for (let word = words - 1; word >= 0; word--) {
    bytes.writeBigUInt64BE(BigInt.asUintN(64, rest), word * 8);
    rest >>= 64n;
  }
  const sign = value < 0n ? 0xff : 0;
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === sign && (bytes[from + 1]! & 0x80) === (sign & 0x80)) from++;
  return bytes.subarray(from);
}

function bytesOf64(value: bigint): Buffer {
  const halves = splitBigint(value);
  const [low, high] = [halves[0]!, halves[1]!];
  const sign = high >> 31;
  // Bits that differ from the sign, and the sign itself.
  const bits = high === sign ? 33 - Math.clz32(low ^ sign) : 65 - Math.clz32(high ^ sign);
  const size = (bits + 7) >> 3;
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at++) {
    const shift = (size - 1 - at) * 8;
    bytes[at] = shift < 32 ? low >>> shift : high >>> (shift - 32);
  }
  return bytes;
}

/** The inverse of `bytesOf`; of no bytes, 0. */
export function bigintOf(bytes: Uint8Array): bigint {
  let value = bytes.length > 0 && bytes[0]! > 127 ? -1n : 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
