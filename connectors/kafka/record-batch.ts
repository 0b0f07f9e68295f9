/**
 * Record batches (magic 2), encoded and decoded in one pass over one buffer.
 * Layout: https://kafka.apache.org/documentation/#recordbatch
 */
import { crc32c } from '@node-rs/crc32';
import { SluiceError } from '../../engine/errors.ts';
import type { LogHeader, LogRecord, OutputBatch } from '../../engine/log.ts';
import { compress, decompress, LZ4 } from './compression.ts';

const HEADER_BYTES = 61;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
/** A producer's sequence numbers are the non-negative int32 and begin again at 0. */
export const SEQUENCES = 2 ** 31;
const NO_HEADERS: readonly LogHeader[] = [];

/** Bytes of a zigzag varint. */
function varintSize(value: number): number {
  let n = value >= 0 ? value * 2 : -value * 2 - 1;
  let size = 1;
  while (n >= 128) {
    n = Math.floor(n / 128);
    size++;
  }
  return size;
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let n = value >= 0 ? value * 2 : -value * 2 - 1;
  let pos = at;
  while (n >= 128) {
    out[pos++] = (n % 128) | 0x80;
    n = Math.floor(n / 128);
  }
  out[pos++] = n;
  return pos;
}

/** Where a batch goes in a producer's sequence. */
export interface BatchIdentity {
  readonly producerId: bigint;
  readonly epoch: number;
  readonly sequence: number;
  readonly transactional: boolean;
}

/** A part of an output small enough for one record batch. */
interface Chunk {
  buffer: Buffer;
  length: number;
  count: number;
  firstTimestamp: number;
  maxTimestamp: number;
}

/**
 * Collects records of one partition, already in wire form. Split into chunks of about `chunkBytes`, because the broker bounds
 * one record batch (max.message.bytes).
 */
export class RecordBatchBuilder implements OutputBatch {
  readonly topic: string;
  readonly partition: number;
  readonly #chunkBytes: number;
  readonly #chunks: Chunk[] = [];
  #count = 0;

  constructor(topic: string, partition: number, chunkBytes = 768 * 1024) {
    this.topic = topic;
    this.partition = partition;
    this.#chunkBytes = chunkBytes;
  }

  get count(): number {
    return this.#count;
  }

  append(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: readonly LogHeader[] = NO_HEADERS,
  ): void {
    const payload = (key?.length ?? 0) + (value?.length ?? 0) + headersSize(headers);
    const chunk = this.#room(payload + 40, timestampMs);
    const delta = timestampMs - chunk.firstTimestamp;
    const keySize = key === null ? 1 : varintSize(key.length) + key.length;
    const valueSize = value === null ? 1 : varintSize(value.length) + value.length;
    const bodySize =
      1 +
      varintSize(delta) +
      varintSize(chunk.count) +
      keySize +
      valueSize +
      varintSize(headers.length) +
      headersSize(headers);
    const out = chunk.buffer;
    let pos = writeVarint(out, chunk.length, bodySize);
    out[pos++] = 0;
    pos = writeVarint(out, pos, delta);
    pos = writeVarint(out, pos, chunk.count);
    pos = writeBytes(out, pos, key);
    pos = writeBytes(out, pos, value);
    pos = writeVarint(out, pos, headers.length);
    for (const header of headers) {
      const name = Buffer.from(header.key);
      pos = writeBytes(out, pos, name);
      pos = writeBytes(out, pos, header.value);
    }
    chunk.length = pos;
    chunk.count++;
    if (timestampMs > chunk.maxTimestamp) chunk.maxTimestamp = timestampMs;
    this.#count++;
  }

  /** The finished record batches, in order. */
  encode(identity: BatchIdentity): Buffer[] {
    let sequence = identity.sequence;
    return this.#chunks.map((chunk) => {
      const batch = encodeBatch(chunk, { ...identity, sequence });
      sequence = (sequence + chunk.count) % SEQUENCES;
      return batch;
    });
  }

  #room(bytes: number, timestampMs: number): Chunk {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.length + bytes <= this.#chunkBytes) {
      if (last.length + bytes > last.buffer.length) last.buffer = grow(last.buffer, last.length, last.length + bytes);
      return last;
    }
    const chunk = {
      buffer: Buffer.allocUnsafe(Math.max(bytes, 16 * 1024)),
      length: 0,
      count: 0,
      firstTimestamp: timestampMs,
      maxTimestamp: timestampMs,
    };
    this.#chunks.push(chunk);
    return chunk;
  }
}

function grow(buffer: Buffer, used: number, needed: number): Buffer {
  const next = Buffer.allocUnsafe(Math.max(needed, buffer.length * 2));
  buffer.copy(next, 0, 0, used);
  return next;
}

function headersSize(headers: readonly LogHeader[]): number {
  let size = 0;
  for (const { key, value } of headers) {
    const name = Buffer.byteLength(key);
    size += varintSize(name) + name + varintSize(value.length) + value.length;
  }
  return size;
}

function writeBytes(out: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(out, at, -1);
  const pos = writeVarint(out, at, bytes.length);
  out.set(bytes, pos);
  return pos + bytes.length;
}

function encodeBatch(chunk: Chunk, identity: BatchIdentity): Buffer {
  const records = compress(chunk.buffer.subarray(0, chunk.length));
  const out = Buffer.allocUnsafe(HEADER_BYTES + records.length);
  out.writeBigInt64BE(0n, 0);
  out.writeInt32BE(out.length - 12, 8);
  out.writeInt32BE(-1, 12);
  out[16] = 2;
  out.writeInt16BE(LZ4 | (identity.transactional ? TRANSACTIONAL : 0), 21);
  out.writeInt32BE(chunk.count - 1, 23);
  out.writeBigInt64BE(BigInt(chunk.firstTimestamp), 27);
  out.writeBigInt64BE(BigInt(chunk.maxTimestamp), 35);
  out.writeBigInt64BE(identity.producerId, 43);
  out.writeInt16BE(identity.epoch, 51);
  out.writeInt32BE(identity.sequence, 53);
  out.writeInt32BE(chunk.count, 57);
  records.copy(out, HEADER_BYTES);
  out.writeUInt32BE(crc32c(out.subarray(21)), 17);
  return out;
}

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
  const cursor = { pos: HEADER_BYTES };
  readVarint(batch, cursor);
  cursor.pos++;
  readVarint(batch, cursor);
  readVarint(batch, cursor);
  readVarint(batch, cursor);
  return batch.readInt16BE(cursor.pos + 2) === 0;
}

interface Cursor {
  pos: number;
}

function readVarint(buffer: Buffer, cursor: Cursor): number {
  let result = 0;
  let factor = 1;
  for (;;) {
    const byte = buffer[cursor.pos++];
    if (byte === undefined) throw corrupt('a varint runs past the end');
    result += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
    factor *= 128;
  }
  return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
}

function readBytes(buffer: Buffer, cursor: Cursor): Buffer | null {
  const length = readVarint(buffer, cursor);
  if (length < 0) return null;
  const start = cursor.pos;
  cursor.pos = start + length;
  if (cursor.pos > buffer.length) throw corrupt('a field runs past the end');
  return buffer.subarray(start, cursor.pos);
}

function decodeBatch(batch: Buffer, base: bigint, from: bigint, into: LogRecord[]): void {
  const attributes = batch.readInt16BE(21);
  const logAppendTime = (attributes & 0x08) !== 0;
  const firstTimestamp = Number(batch.readBigInt64BE(27));
  const maxTimestamp = Number(batch.readBigInt64BE(35));
  const count = batch.readInt32BE(57);
  const records = inflate(attributes & 0x07, batch.subarray(HEADER_BYTES));
  const cursor = { pos: 0 };
  for (let i = 0; i < count; i++) {
    const length = readVarint(records, cursor);
    const end = cursor.pos + length;
    cursor.pos++;
    const delta = readVarint(records, cursor);
    const offset = base + BigInt(readVarint(records, cursor));
    const key = readBytes(records, cursor);
    const value = readBytes(records, cursor);
    const headerCount = readVarint(records, cursor);
    const headers = headerCount === 0 ? NO_HEADERS : readHeaders(records, cursor, headerCount);
    if (cursor.pos !== end) throw corrupt('a record has another length than it says');
    if (offset >= from) {
      into.push({ offset, timestampMs: logAppendTime ? maxTimestamp : firstTimestamp + delta, key, value, headers });
    }
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

function readHeaders(records: Buffer, cursor: Cursor, count: number): LogHeader[] {
  const headers: LogHeader[] = [];
  for (let i = 0; i < count; i++) {
    const key = readBytes(records, cursor)?.toString() ?? '';
    headers.push({ key, value: readBytes(records, cursor) ?? new Uint8Array() });
  }
  return headers;
}

function corrupt(what: string, cause?: unknown): SluiceError {
  return new SluiceError(`Corrupt record batch: ${what}`, { code: 'CORRUPT_BATCH', action: 'reconnect', cause });
}
