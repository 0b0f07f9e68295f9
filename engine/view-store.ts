/**
 * The local picture of one partition of one of the stage's own compacted output topics. That topic is its changelog:
 * putting an entry is writing the record, nothing is written twice.
 *
 * Invariant: LMDB holds exactly the topic up to the saved position. What the running batch puts lies in an overlay until its
 * transaction is committed, and is dropped with it; what is committed waits in memory until there is enough for one sorted write.
 * A crash loses what waits here, and reads it back from the topic.
 */
import { join } from 'node:path';
import { ByteMap, hashOf } from './byte-map.ts';
import { type Environment, openEnvironment } from './lmdb-environment.ts';
import type { LogClient, LogReader, OutputBatch } from './log.ts';
import { readToEnd } from './restore.ts';
import { headStartMs } from './stagger.ts';

export interface ViewEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Entries, and time, after which what is committed is written: many at once, in key order, cost LMDB a fraction. */
const FLUSH_ENTRIES = 20_000;
const FLUSH_MS = 5_000;
/** Nor more than this, however often the same keys are put. */
const FLUSH_BYTES = 64 << 20;
const POSITION = 'view';
const SAVED_AT = 'savedAtMs';
/** A compacted topic drops tombstones a day after cleaning (delete.retention.ms): an older copy could miss a deletion. */
const MAX_AGE_MS = 12 * 3_600_000;

/** Where the store keeps an entry: what is written together should lie together, whatever the topic's keys look like. */
export interface StoreOrder {
  /** Another name, another order: a folder in another one is emptied at its opening and read from the topic again. */
  readonly name: string;
  /** The bytes that stand for a key in the store; no two keys have the same. */
  readonly keyOf: (key: Buffer) => Buffer;
}

export class ViewStore {
  readonly topic: string;
  readonly partition: number;
  readonly #environment: Environment;
  readonly #keyOf: (key: Buffer) => Buffer;
  #overlay = new ByteMap();
  #committed = new ByteMap();
  #committedTo = 0n;
  #flushedAt: number;

  private constructor(
    { topic, partition, order }: { readonly topic: string; readonly partition: number; readonly order?: StoreOrder },
    environment: Environment,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.#environment = environment;
    this.#flushedAt = performance.now() - headStartMs(partition, FLUSH_MS);
    this.#keyOf = order?.keyOf ?? ((key) => key);
  }

  /** Opens the local folder and reads what the topic has beyond it. Call only behind the fence. */
  static async open(
    client: LogClient,
    reader: LogReader,
    at: { readonly topic: string; readonly partition: number; readonly dir: string; readonly order?: StoreOrder },
  ): Promise<ViewStore> {
    const environment = openEnvironment({ dir: join(at.dir, 'view'), format: at.order?.name });
    const store = new ViewStore(at, environment);
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
    const hash = hashOf(key);
    const put = this.#overlay.find(key, hash);
    if (put >= 0) return this.#overlay.value(put) ?? undefined;
    const committed = this.#committed.find(key, hash);
    if (committed >= 0) return this.#committed.value(committed) ?? undefined;
    // lmdb hands out one shared buffer with its `length` set to the value's: only a subarray has the right bounds everywhere.
    const shared = this.#environment.db.getBinaryFast(this.#keyOf(key));
    return shared?.subarray(0, shared.length);
  }

  /** Copies key and value; null deletes. Returns the copy of the value, which lives as long as whoever holds it. */
  put(key: Buffer, value: Buffer | null, timestampMs: number): Buffer | null {
    return this.#overlay.value(this.#overlay.set(key, hashOf(key), value, timestampMs));
  }

  /**
   * Up to `limit` committed entries whose key begins with `prefix`, after the key `after`; keys are those of the store's order. The running batch's own
   * puts are not in it: call it between batches.
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
    const puts = this.#overlay;
    for (let entry = 0; entry < puts.size; entry++)
      output.append(puts.key(entry), puts.value(entry), puts.stamp(entry));
  }

  /** After the commit: the overlay belongs to the store, as of the topic's position. */
  committed(next: bigint): void {
    if (this.#committed.size === 0) this.#committed = this.#overlay;
    else this.#committed.absorb(this.#overlay);
    this.#overlay = new ByteMap();
    this.#committedTo = next;
    const { size, bytes } = this.#committed;
    const due = size >= FLUSH_ENTRIES || bytes >= FLUSH_BYTES || performance.now() - this.#flushedAt >= FLUSH_MS;
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

  #flush(): void {
    this.#flushedAt = performance.now();
    const committed = this.#committed;
    if (committed.size === 0) return;
    const keys: Buffer[] = [];
    const entries = new Uint32Array(committed.size);
    for (let entry = 0; entry < committed.size; entry++) {
      keys.push(this.#keyOf(committed.key(entry)));
      entries[entry] = entry;
    }
    entries.sort((a, b) => compareBytes(keys[a]!, keys[b]!));
    this.#environment.write(this.#at(this.#committedTo), (put, remove) => {
      for (const entry of entries) {
        const value = committed.value(entry);
        if (value === null) remove(keys[entry]!);
        else put(keys[entry]!, value);
      }
    });
    this.#committed = new ByteMap();
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
          if (value === null) remove(this.#keyOf(key));
          else put(this.#keyOf(key), value);
        }
      });
    });
  }
}

/** As LMDB orders keys. Keys are short and alike: a call into the runtime costs more than the loop. */
function compareBytes(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = a[at]! - b[at]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
