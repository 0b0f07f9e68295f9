/**
 * The local picture of one partition of one of the stage's own compacted output topics. That topic is its changelog:
 * putting an entry is writing the record, nothing is written twice.
 *
 * Invariant: LMDB holds exactly the topic up to the saved position. What the running batch puts lies in an overlay until its
 * transaction is committed, and is dropped with it; what is committed waits in memory until there is enough for one sorted write.
 * A crash loses what waits here, and reads it back from the topic.
 */
import { join } from 'node:path';
import { type Environment, openEnvironment } from './lmdb-environment.ts';
import type { LogClient, LogReader, OutputBatch } from './log.ts';
import { readToEnd } from './restore.ts';

interface Overlaid {
  /** null is a tombstone. */
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

export interface ViewEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Entries, and time, after which what is committed is written: many at once, in key order, cost LMDB a fraction. */
const FLUSH_ENTRIES = 20_000;
const FLUSH_MS = 5_000;
/** A key longer than this is not remembered. */
const REMEMBERED_BYTES = 64;
const POSITION = 'view';
const SAVED_AT = 'savedAtMs';
/** A compacted topic drops tombstones a day after cleaning (delete.retention.ms): an older copy could miss a deletion. */
const MAX_AGE_MS = 12 * 3_600_000;

export class ViewStore {
  readonly topic: string;
  readonly partition: number;
  readonly #environment: Environment;
  /** Keys are strings of bytes (latin1). */
  readonly #overlay = new Map<string, Overlaid>();
  #committed = new Map<string, Buffer | null>();
  #committedTo = 0n;
  #flushedAt = performance.now();
  /** The key that was asked for last, and its name: what was looked for is often put next. */
  readonly #key = new Uint8Array(REMEMBERED_BYTES);
  #keyBytes = -1;
  #name = '';

  private constructor(topic: string, partition: number, environment: Environment) {
    this.topic = topic;
    this.partition = partition;
    this.#environment = environment;
  }

  /** Opens the local folder and reads what the topic has beyond it. Call only behind the fence. */
  static async open(
    client: LogClient,
    reader: LogReader,
    at: { readonly topic: string; readonly partition: number; readonly dir: string },
  ): Promise<ViewStore> {
    const environment = openEnvironment({ dir: join(at.dir, 'view') });
    const store = new ViewStore(at.topic, at.partition, environment);
    try {
      await store.#restore(client, reader);
    } catch (error) {
      await environment.close();
      throw error;
    }
    return store;
  }

  /** The value of a key; a view that is valid until the next call: copy what must outlive it. */
  get(key: Buffer): Buffer | undefined {
    const name = this.#nameOf(key);
    const put = this.#overlay.get(name);
    if (put !== undefined) return put.value ?? undefined;
    const committed = this.#committed.get(name);
    if (committed !== undefined) return committed ?? undefined;
    // lmdb hands out one shared buffer with its `length` set to the value's: only a subarray has the right bounds everywhere.
    const shared = this.#environment.db.getBinaryFast(key);
    return shared?.subarray(0, shared.length);
  }

  /** Copies key and value; null deletes. Returns the copy of the value, which lives as long as whoever holds it. */
  put(key: Buffer, value: Buffer | null, timestampMs: number): Buffer | null {
    const copy = value === null ? null : Buffer.from(value);
    this.#overlay.set(this.#nameOf(key), { value: copy, timestampMs });
    return copy;
  }

  /**
   * Up to `limit` committed entries whose key begins with `prefix`, after the key `after`. The running batch's own puts
   * are not in it: call it between batches.
   */
  scan(prefix: Buffer, after: Buffer | null, limit: number): ViewEntry[] {
    this.#flush();
    const entries: ViewEntry[] = [];
    const start = after ?? prefix;
    for (const { key, value } of this.#environment.db.getRange({ start })) {
      if (!prefix.equals(key.subarray(0, prefix.length))) break;
      if (after?.equals(key)) continue;
      entries.push({ key: Buffer.from(key), value: Buffer.from(value) });
      if (entries.length >= limit) break;
    }
    return entries;
  }

  /** As `scan`, but the last `limit` entries in front of the key `before`, which begins with the prefix too; the last first. */
  scanBack(prefix: Buffer, before: Buffer, limit: number): ViewEntry[] {
    this.#flush();
    const entries: ViewEntry[] = [];
    for (const { key, value } of this.#environment.db.getRange({ start: before, reverse: true })) {
      if (entries.length >= limit || !prefix.equals(key.subarray(0, prefix.length))) break;
      if (before.equals(key)) continue;
      entries.push({ key: Buffer.from(key), value: Buffer.from(value) });
    }
    return entries;
  }

  /** How many committed entries there are. */
  get size(): number {
    this.#flush();
    return this.#environment.size();
  }

  /** Whether the running batch has put anything. */
  get dirty(): boolean {
    return this.#overlay.size > 0;
  }

  /** The running batch's puts as records of the topic, one per key. */
  writeTo(output: OutputBatch): void {
    for (const [name, { value, timestampMs }] of this.#overlay) {
      output.append(Buffer.from(name, 'latin1'), value, timestampMs);
    }
  }

  /** After the commit: the overlay belongs to the store, as of the topic's position. */
  committed(next: bigint): void {
    for (const [name, { value }] of this.#overlay) this.#committed.set(name, value);
    this.#overlay.clear();
    this.#committedTo = next;
    const due = this.#committed.size >= FLUSH_ENTRIES || performance.now() - this.#flushedAt >= FLUSH_MS;
    if (due) this.#flush();
  }

  async close(): Promise<void> {
    try {
      this.#flush();
    } catch {
      // Another process has taken the folder over: what waits here is in the topic.
    }
    await this.#environment.close();
  }

  #nameOf(key: Buffer): string {
    const size = key.length;
    let at = 0;
    if (size === this.#keyBytes) while (at < size && this.#key[at] === key[at]) at++;
    if (at === size && size === this.#keyBytes) return this.#name;
    this.#name = key.toString('latin1');
    this.#keyBytes = size <= REMEMBERED_BYTES ? size : -1;
    for (; at < this.#keyBytes; at++) this.#key[at] = key[at]!;
    return this.#name;
  }

  #flush(): void {
    this.#flushedAt = performance.now();
    if (this.#committed.size === 0) return;
    const names = [...this.#committed.keys()].sort();
    this.#environment.write(this.#at(this.#committedTo), (put, remove) => {
      for (const name of names) {
        const value = this.#committed.get(name)!;
        const key = Buffer.from(name, 'latin1');
        if (value === null) remove(key);
        else put(key, value);
      }
    });
    this.#committed = new Map();
  }

  #at(next: bigint): Record<string, string> {
    return { [POSITION]: String(next), [SAVED_AT]: String(Date.now()) };
  }

  async #restore(client: LogClient, reader: LogReader): Promise<void> {
    const { topic, partition } = this;
    const earliest = (await client.offsets(topic, [partition], 'earliest')).get(partition) ?? 0n;
    const end = (await client.offsets(topic, [partition], 'highWatermark')).get(partition) ?? 0n;
    const { [POSITION]: saved, [SAVED_AT]: savedAt } = this.#environment.positions();
    let from = saved === undefined ? null : BigInt(saved);
    if (Date.now() - Number(savedAt ?? 0) > MAX_AGE_MS) from = null;
    // A position before the topic's beginning may have missed tombstones; one beyond its end is of another topic.
    if (from !== null && (from < earliest || from > end)) from = null;
    if (from === null) this.#environment.wipe();
    await readToEnd(reader, { topic, partition, from: from ?? earliest, end }, (run) => {
      this.#environment.write(this.#at(run.next), (put, remove) => {
        for (const { key, value } of run.records) {
          if (key === null) continue;
          if (value === null) remove(key);
          else put(key, value);
        }
      });
    });
  }
}
