/** Fetched record sets (batches of magic 2) as read_committed sees them. Layout: https://kafka.apache.org/documentation/#recordbatch */
import { crc32c } from '@node-rs/crc32';
import { SluiceError } from '../../engine/errors.ts';
import type { LogHeader, LogRecord } from '../../engine/log.ts';
import { decompress } from './compression.ts';
import { HEADER_BYTES, NO_HEADERS, TRANSACTIONAL } from './record-batch.ts';

const CONTROL = 0x20;

/** A transaction that was aborted, as a fetch response lists it. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

export interface DecodedSet {
  readonly records: LogRecord[];
  readonly next: bigint;
}

/**
 * Decodes a fetched record set as read_committed sees it: control records and records of aborted transactions left out.
 * The rule is that of CompletedFetch.java in apache/kafka: the abort list ordered by first offset and consumed up to each
 * batch's last offset; an abort marker ends a producer's aborted range.
 */
export function decodeRecordSet(set: Buffer, from: bigint, aborted: readonly AbortedTransaction[]): DecodedSet {
  const pending = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const abortedProducers = new Set<bigint>();
  const records: LogRecord[] = [];
  let next = from;
  let pos = 0;
  while (pos + HEADER_BYTES <= set.length) {
    const size = set.readInt32BE(pos + 8);
    if (size < HEADER_BYTES - 12) throw corrupt(`a batch of ${size} bytes`);
    const end = pos + 12 + size;
    if (end > set.length) break; // the broker cut the last batch at the size limit
    checkBatch(set.subarray(pos, end));
    const base = set.readBigInt64BE(pos);
    const last = base + BigInt(set.readInt32BE(pos + 23));
    const attributes = set.readInt16BE(pos + 21);
    const producerId = set.readBigInt64BE(pos + 43);
    while (pending.length > 0 && pending[0]!.firstOffset <= last) abortedProducers.add(pending.shift()!.producerId);
    if ((attributes & CONTROL) !== 0) {
      if (isAbortMarker(set.subarray(pos, end))) abortedProducers.delete(producerId);
    } else if ((attributes & TRANSACTIONAL) === 0 || !abortedProducers.has(producerId)) {
      decodeBatch(set.subarray(pos, end), base, from, records);
    }
    if (last >= from) next = last + 1n;
    pos = end;
  }
  return { records, next };
}

/** The checksum covers everything behind it: what passes is what the producer, or for a marker the broker, has written. */
function checkBatch(batch: Buffer): void {
  if (batch[16] !== 2) throw corrupt(`magic ${batch[16]}, expected 2`);
  if (crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) throw corrupt('the checksum does not match');
}

/** A control record's key is version int16, type int16; type 0 is ABORT. */
function isAbortMarker(batch: Buffer): boolean {
  const cursor = new Cursor(batch, HEADER_BYTES);
  cursor.varint();
  cursor.pos++;
  cursor.varint();
  cursor.varint();
  cursor.varint();
  return batch.readInt16BE(cursor.pos + 2) === 0;
}

/** Reads the fields of records one after the other. */
class Cursor {
  readonly bytes: Buffer;
  pos: number;

  constructor(bytes: Buffer, pos: number) {
    this.bytes = bytes;
    this.pos = pos;
  }

  varint(): number {
    const { bytes } = this;
    let byte = bytes[this.pos++]!;
    if (byte < 128) return (byte >>> 1) ^ -(byte & 1);
    let low = byte & 127;
    for (let shift = 7; shift < 28; shift += 7) {
      byte = bytes[this.pos++]!;
      low |= (byte & 127) << shift;
      if (byte < 128) return (low >>> 1) ^ -(low & 1);
    }
    return this.#long(low);
  }

  /** What is longer than 28 bits (or runs past the end, where bytes are undefined). */
  #long(low: number): number {
    let result = low;
    let factor = 2 ** 28;
    for (;;) {
      const byte = this.bytes[this.pos++];
      if (byte === undefined || factor > 2 ** 63) throw corrupt('a varint runs past the end');
      result += (byte & 127) * factor;
      if (byte < 128) break;
      factor *= 128;
    }
    return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
  }

  /** Passes a length and its bytes; returns where they begin, or -1 for null. They end at `pos`. */
  skipBytes(): number {
    const length = this.varint();
    if (length < 0) return -1;
    const start = this.pos;
    this.pos = start + length;
    if (this.pos > this.bytes.length) throw corrupt('a field runs past the end');
    return start;
  }

  header(): LogHeader {
    const key = this.skipBytes();
    const name = key < 0 ? '' : this.bytes.toString('utf8', key, this.pos);
    const value = this.skipBytes();
    return { key: name, value: value < 0 ? new Uint8Array() : this.bytes.subarray(value, this.pos) };
  }
}

/** Where a record lies in its batch: most of it is never asked for, so it is only made when it is. */
interface Place {
  readonly base: bigint;
  readonly bytes: Buffer;
}

class FetchedRecord implements LogRecord {
  readonly timestampMs: number;
  readonly headers: readonly LogHeader[];
  readonly #place: Place;
  readonly #delta: number;
  readonly #keyStart: number;
  readonly #keyEnd: number;
  readonly #valueStart: number;
  readonly #valueEnd: number;
  #value: Buffer | undefined;

  constructor(place: Place, cursor: Cursor, timestampMs: number, delta: number) {
    this.#place = place;
    this.#delta = delta;
    this.timestampMs = timestampMs;
    this.#keyStart = cursor.skipBytes();
    this.#keyEnd = cursor.pos;
    this.#valueStart = cursor.skipBytes();
    this.#valueEnd = cursor.pos;
    const count = cursor.varint();
    this.headers = count === 0 ? NO_HEADERS : Array.from({ length: count }, () => cursor.header());
  }

  get offset(): bigint {
    return this.#place.base + BigInt(this.#delta);
  }

  get key(): Buffer | null {
    return this.#keyStart < 0 ? null : this.#place.bytes.subarray(this.#keyStart, this.#keyEnd);
  }

  get value(): Buffer | null {
    if (this.#valueStart < 0) return null;
    this.#value ??= this.#place.bytes.subarray(this.#valueStart, this.#valueEnd);
    return this.#value;
  }
}

function decodeBatch(batch: Buffer, base: bigint, from: bigint, into: LogRecord[]): void {
  const attributes = batch.readInt16BE(21);
  const logAppendTime = (attributes & 0x08) !== 0;
  const firstTimestamp = Number(batch.readBigInt64BE(27));
  const maxTimestamp = Number(batch.readBigInt64BE(35));
  const count = batch.readInt32BE(57);
  const bytes = inflate(attributes & 0x07, batch.subarray(HEADER_BYTES));
  const cursor = new Cursor(bytes, 0);
  const place = { base, bytes };
  const skip = from > base ? Number(from - base) : 0;
  for (let i = 0; i < count; i++) {
    const length = cursor.varint();
    const end = cursor.pos + length;
    cursor.pos++;
    const timestampDelta = cursor.varint();
    const delta = cursor.varint();
    const timestampMs = logAppendTime ? maxTimestamp : firstTimestamp + timestampDelta;
    const record = new FetchedRecord(place, cursor, timestampMs, delta);
    if (cursor.pos !== end) throw corrupt('a record has another length than it says');
    if (delta >= skip) into.push(record);
  }
}

function inflate(codec: number, bytes: Buffer): Buffer {
  try {
    return decompress(codec, bytes);
  } catch (error) {
    if (error instanceof SluiceError) throw error;
    throw corrupt('its records cannot be decompressed', error);
  }
}

function corrupt(what: string, cause?: unknown): SluiceError {
  return new SluiceError(`Corrupt record batch: ${what}`, { code: 'CORRUPT_BATCH', action: 'reconnect', cause });
}
