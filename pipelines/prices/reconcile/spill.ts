/**
 * Records of a topic sorted into groups that do not fit into memory together: a file for each, that has no name any more once it is open, so that nothing is
 * left of it however the process ends.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
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
  /** Of what is written; null while nothing is. */
  file: number | null;
}

const nothing = (): Gathered => ({ bytes: Buffer.alloc(0), length: 0, file: null });

export class Spill {
  readonly #groups: Gathered[];

  constructor(groups: number) {
    this.#groups = Array.from({ length: groups }, nothing);
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

  /** Everything of a group, in the order in which it came, once. The bytes stay as they are. */
  *take(group: number): Generator<SpiltRecord> {
    const gathered = this.#groups[group]!;
    const rest = gathered.bytes.subarray(0, gathered.length);
    const bytes = gathered.file === null ? rest : Buffer.concat([readAll(gathered.file), rest]);
    if (gathered.file !== null) closeSync(gathered.file);
    this.#groups[group] = nothing();
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
    for (const gathered of this.#groups) {
      if (gathered.file !== null) closeSync(gathered.file);
      gathered.file = null;
    }
  }

  #makeRoom(group: number, size: number): void {
    const gathered = this.#groups[group]!;
    if (gathered.length > 0) {
      gathered.file ??= openNameless();
      for (let at = 0; at < gathered.length; ) at += writeSync(gathered.file, gathered.bytes, at, gathered.length - at);
      gathered.length = 0;
    }
    if (size > gathered.bytes.length) gathered.bytes = Buffer.allocUnsafe(Math.max(GATHERED_BYTES, size));
  }
}

function openNameless(): number {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-reconcile-'));
  try {
    return openSync(join(folder, 'records'), 'w+');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readAll(file: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(fstatSync(file).size);
  for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, bytes.length - at, at);
  return bytes;
}
