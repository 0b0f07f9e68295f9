/** Writes Avro into one growing buffer, many records behind each other: an arena for a batch. */
import { SluiceError } from '../errors.ts';
import { splitBigint } from './primitives.ts';

const MAX_LONG = 2n ** 63n - 1n;
const MIN_LONG = -(2n ** 63n);
const TWO_27 = 2 ** 27;

/** Shorter than this, a loop is faster than a call into the runtime. */
const LOOP_BELOW = 32;

export interface ByteWriterOptions {
  readonly chunkBytes?: number;
  /** A record beyond it is RECORD_TOO_LARGE. */
  readonly maxRecordBytes?: number;
}

/**
 * Between `begin` and `take` the bytes of one record are written. What `take` returns is a view of the arena: valid
 * until `reset`, however much is written meanwhile (a full chunk is left behind to its views).
 */
export class ByteWriter {
  #bytes: Buffer;
  #at = 0;
  #start = 0;
  readonly #chunkBytes: number;
  readonly #maxRecordBytes: number;

  constructor({ chunkBytes = 1 << 20, maxRecordBytes = 8 << 20 }: ByteWriterOptions = {}) {
    this.#chunkBytes = chunkBytes;
    this.#maxRecordBytes = maxRecordBytes;
    this.#bytes = Buffer.allocUnsafeSlow(chunkBytes);
  }

  /** Starts a record, dropping one that was begun and not taken. */
  begin(): void {
    this.#at = this.#start;
  }

  /** Ends the record: its bytes, as a view of the arena. */
  take(): Buffer {
    const record = this.#bytes.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return record;
  }

  /** Reuses the memory: every view taken so far becomes invalid. */
  reset(): void {
    this.#at = 0;
    this.#start = 0;
  }

  /** Makes room. Throws RECORD_TOO_LARGE (dead-letter). */
  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length) this.#grow(bytes);
  }

  #grow(bytes: number): void {
    const written = this.#at - this.#start;
    if (written + bytes > this.#maxRecordBytes) {
      throw new SluiceError(`A record of more than ${this.#maxRecordBytes} bytes`, {
        code: 'RECORD_TOO_LARGE',
        action: 'dead-letter',
      });
    }
    const next = Buffer.allocUnsafeSlow(Math.max(this.#chunkBytes, 2 * (written + bytes)));
    this.#bytes.copy(next, 0, this.#start, this.#at);
    this.#bytes = next;
    this.#start = 0;
    this.#at = written;
  }

  /** One byte: a boolean, a branch of a union (2 · index), an enum's symbol (2 · index). */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** Four bytes, big-endian: the schema id of the framing. */
  int32BE(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
  }

  /** An Avro int or long. Throws RangeError for what is no integer within ±2^53. */
  long(value: number): void {
    this.#reserve(10);
    if ((value | 0) === value) {
      this.#varint32((value << 1) ^ (value >> 31));
      return;
    }
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an integer within ±2^53`);
    const magnitude = value < 0 ? -(value + 1) : value;
    const rest = Math.floor(magnitude / TWO_27);
    this.#varint56(((magnitude % TWO_27) << 1) | (value < 0 ? 1 : 0), rest);
  }

  #varint32(zigzag: number): void {
    let rest = zigzag;
    let at = this.#at;
    while (rest & ~127) {
      this.#bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[at++] = rest;
    this.#at = at;
  }

  /** 28 low bits, always written as four bytes, and up to 31 bits more. */
  #varint56(low: number, high: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = (low & 127) | 128;
    bytes[at + 1] = ((low >>> 7) & 127) | 128;
    bytes[at + 2] = ((low >>> 14) & 127) | 128;
    bytes[at + 3] = ((low >>> 21) & 127) | 128;
    this.#at = at + 4;
    this.#varint32(high);
  }

  /** An Avro long of all 64 bits. Throws RangeError beyond them. */
  bigLong(value: bigint): void {
    if (value > MAX_LONG || value < MIN_LONG) throw new RangeError(`${value} is not a 64-bit integer`);
    this.#reserve(10);
    const halves = splitBigint(value);
    const sign = halves[1]! >> 31;
    let low = (halves[0]! << 1) ^ sign;
    let high = ((halves[1]! << 1) | (halves[0]! >>> 31)) ^ sign;
    let at = this.#at;
    while (high !== 0 || low & ~127) {
      this.#bytes[at++] = (low & 127) | 128;
      low = (low >>> 7) | (high << 25);
      high >>>= 7;
    }
    this.#bytes[at++] = low;
    this.#at = at;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  float(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeFloatLE(value, this.#at);
  }

  /** An Avro string. */
  string(text: string): void {
    this.#reserve(3 * text.length + 10);
    if (text.length < LOOP_BELOW && this.#ascii(text)) return;
    // Written behind a length of one byte, which is right for most; a longer length moves the text.
    const at = this.#at + 1;
    const length = this.#bytes.write(text, at, 'utf8');
    this.long(length);
    if (this.#at !== at) this.#bytes.write(text, this.#at, 'utf8');
    this.#at += length;
  }

  /** A short text whose characters are a byte each; false, with nothing written, when one is not. */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const size = text.length;
    const at = this.#at + 1;
    for (let index = 0; index < size; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 127) return false;
      bytes[at + index] = unit;
    }
    bytes[at - 1] = size << 1;
    this.#at = at + size;
    return true;
  }

  /** An Avro `bytes` value. */
  bytes(value: Uint8Array): void {
    this.long(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Bytes [start, end) as they are: a value that is Avro already. */
  copy(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#reserve(length);
    if (length < LOOP_BELOW) {
      let to = this.#at;
      for (let from = start; from < end; from++) this.#bytes[to++] = source[from]!;
    } else {
      this.#bytes.set(source.subarray(start, end), this.#at);
    }
    this.#at += length;
  }
}
