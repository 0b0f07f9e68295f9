/**
 * Records of a topic sorted into groups that do not fit into memory together: a file for each, in a folder that goes with the process's work. Nothing is
 * ever read back but by whoever wrote it.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SpiltRecord {
  readonly key: Buffer;
  readonly offset: bigint;
  /** null: a tombstone. */
  readonly value: Buffer | null;
}

/** What is gathered of a group before it is written. */
const GATHERED_BYTES = 256 * 1024;
const OFFSET_BYTES = 8;
const LENGTH_BYTES = 4;
const HEAD_BYTES = OFFSET_BYTES + 2 * LENGTH_BYTES;
const TOMBSTONE = -1;

interface Gathered {
  bytes: Buffer;
  length: number;
  written: boolean;
}

export class Spill {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-reconcile-'));
  readonly #groups: Gathered[];

  constructor(groups: number) {
    this.#groups = Array.from({ length: groups }, () => ({ bytes: Buffer.alloc(0), length: 0, written: false }));
  }

  /** Copies the record. */
  add(group: number, { key, offset, value }: SpiltRecord): void {
    const gathered = this.#groups[group]!;
    const size = HEAD_BYTES + key.length + (value?.length ?? 0);
    if (gathered.length + size > gathered.bytes.length) this.#makeRoom(group, size);
    const { bytes } = gathered;
    let at = bytes.writeBigInt64LE(offset, gathered.length);
    at = bytes.writeInt32LE(key.length, at);
    at = bytes.writeInt32LE(value?.length ?? TOMBSTONE, at);
    bytes.set(key, at);
    if (value !== null) bytes.set(value, at + key.length);
    gathered.length += size;
  }

  /** Everything of a group, in the order in which it came, once: its file is gone afterwards. The bytes stay as they are. */
  *take(group: number): Generator<SpiltRecord> {
    const gathered = this.#groups[group]!;
    const rest = gathered.bytes.subarray(0, gathered.length);
    const bytes = gathered.written ? Buffer.concat([readFileSync(this.#file(group)), rest]) : rest;
    this.#groups[group] = { bytes: Buffer.alloc(0), length: 0, written: false };
    rmSync(this.#file(group), { force: true });
    for (let at = 0; at < bytes.length; ) {
      const offset = bytes.readBigInt64LE(at);
      const keyEnd = at + HEAD_BYTES + bytes.readInt32LE(at + OFFSET_BYTES);
      const length = bytes.readInt32LE(at + OFFSET_BYTES + LENGTH_BYTES);
      const end = keyEnd + Math.max(length, 0);
      const value = length === TOMBSTONE ? null : bytes.subarray(keyEnd, end);
      yield { key: bytes.subarray(at + HEAD_BYTES, keyEnd), offset, value };
      at = end;
    }
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #file(group: number): string {
    return join(this.#folder, String(group));
  }

  #makeRoom(group: number, size: number): void {
    const gathered = this.#groups[group]!;
    if (gathered.length > 0) {
      appendFileSync(this.#file(group), gathered.bytes.subarray(0, gathered.length));
      gathered.written = true;
      gathered.length = 0;
    }
    if (size > gathered.bytes.length) gathered.bytes = Buffer.allocUnsafe(Math.max(GATHERED_BYTES, size));
  }
}
