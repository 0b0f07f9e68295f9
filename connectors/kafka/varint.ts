/** Zigzag varints of record batches. Lengths and most deltas fit 30 bits and take the fast way; others are exact to 2^52. */

const SMALL = 2 ** 30;

/** Bytes that a value takes. */
export function varintSize(value: number): number {
  let n = value >= 0 ? value * 2 : -value * 2 - 1;
  let size = 1;
  while (n >= 128) {
    n = Math.floor(n / 128);
    size++;
  }
  return size;
}

/** Writes a value and returns the position behind it. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let pos = at;
  if (value < SMALL && value >= -SMALL) {
    let n = (value << 1) ^ (value >> 31);
    while (n >= 128) {
      out[pos++] = (n & 127) | 128;
      n >>>= 7;
    }
    out[pos++] = n;
    return pos;
  }
  let n = value >= 0 ? value * 2 : -value * 2 - 1;
  while (n >= 128) {
    out[pos++] = (n % 128) | 128;
    n = Math.floor(n / 128);
  }
  out[pos++] = n;
  return pos;
}
