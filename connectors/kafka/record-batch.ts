/**
 * Record batches (magic 2), encoded in one pass over one buffer.
 * Layout: https://kafka.apache.org/documentation/#recordbatch
 */
import { crc32c } from '@node-rs/crc32';
import type { LogHeader, OutputBatch } from '../../engine/log.ts';
import { compress, LZ4 } from './compression.ts';
import { varintSize, writeVarint } from './varint.ts';

export const HEADER_BYTES = 61;
export const TRANSACTIONAL = 0x10;
/** A producer's sequence numbers are the non-negative int32 and begin again at 0. */
export const SEQUENCES = 2 ** 31;
export const NO_HEADERS: readonly LogHeader[] = [];

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

/** About how many bytes of records go into one record batch: the broker bounds it (max.message.bytes). */
const CHUNK_BYTES = 768 * 1024;
const FIRST_BYTES = 16 * 1024;
const KEPT_BUFFERS = 4;

/**
 * Memory that was written to and is free again. Made anew for each transaction it is most of what a stage allocates outside of its heap, and the
 * garbage collector runs over the whole heap for every 64 MiB of that.
 */
export class SpareBuffers {
  readonly #buffers: Buffer[] = [];

  /** One of at least `bytes`; what is in it is of no use. */
  take(bytes: number): Buffer {
    const kept = this.#buffers.pop();
    return kept !== undefined && kept.length >= bytes ? kept : Buffer.allocUnsafe(Math.max(bytes, FIRST_BYTES));
  }

  /** Nobody may hold a view of it any longer. One that a large record has made is not kept. */
  give(buffer: Buffer): void {
    if (this.#buffers.length < KEPT_BUFFERS && buffer.length <= 2 * CHUNK_BYTES) this.#buffers.push(buffer);
  }
}

/** Collects records of one partition, already in wire form, in chunks of about `chunkBytes`. */
export class RecordBatchBuilder implements OutputBatch {
  readonly topic: string;
  readonly partition: number;
  readonly #spare: SpareBuffers;
  readonly #chunkBytes: number;
  #chunks: Chunk[] = [];
  #count = 0;

  constructor(topic: string, partition: number, spare: SpareBuffers, chunkBytes = CHUNK_BYTES) {
    this.topic = topic;
    this.partition = partition;
    this.#spare = spare;
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
    const headerBytes = headers.length === 0 ? 0 : headersSize(headers);
    const chunk = this.#room((key?.length ?? 0) + (value?.length ?? 0) + headerBytes + 40, timestampMs);
    const delta = timestampMs - chunk.firstTimestamp;
    const keySize = key === null ? 1 : varintSize(key.length) + key.length;
    const valueSize = value === null ? 1 : varintSize(value.length) + value.length;
    const bodySize =
      1 + varintSize(delta) + varintSize(chunk.count) + keySize + valueSize + varintSize(headers.length) + headerBytes;
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

  /** The finished record batches, in order. Once: the memory of the records is given away. */
  encode(identity: BatchIdentity): Buffer[] {
    let sequence = identity.sequence;
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks.map((chunk) => {
      const batch = encodeBatch(chunk, { ...identity, sequence });
      sequence = (sequence + chunk.count) % SEQUENCES;
      this.#spare.give(chunk.buffer);
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
      buffer: this.#spare.take(bytes),
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
