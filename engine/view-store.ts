/**
 * The local picture of one partition of one of the stage's own compacted output topics. That topic is its changelog:
 * putting an entry is writing the record, nothing is written twice.
 *
 * Invariant: LMDB holds exactly the topic up to the saved position; what the running batch puts lies in an overlay until its
 * transaction is committed, and is dropped with it.
 */
import { join } from 'node:path';
import { type Environment, openEnvironment } from './lmdb-environment.ts';
import type { LogClient, LogReader, OutputBatch } from './log.ts';
import { readToEnd } from './restore.ts';

interface Overlaid {
  readonly key: Buffer;
  /** null is a tombstone. */
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

export interface ViewEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

const POSITION = 'view';
const SAVED_AT = 'savedAtMs';
/** A compacted topic drops tombstones a day after cleaning (delete.retention.ms): an older copy could miss a deletion. */
const MAX_AGE_MS = 12 * 3_600_000;

export class ViewStore {
  readonly topic: string;
  readonly partition: number;
  readonly #environment: Environment;
  readonly #overlay = new Map<string, Overlaid>();

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
    if (this.#overlay.size > 0) {
      const found = this.#overlay.get(key.toString('latin1'));
      if (found !== undefined) return found.value ?? undefined;
    }
    // lmdb hands out one shared buffer with its `length` set to the value's: only a subarray has the right bounds everywhere.
    const shared = this.#environment.db.getBinaryFast(key);
    return shared?.subarray(0, shared.length);
  }

  /** Copies key and value; null deletes. */
  put(key: Buffer, value: Buffer | null, timestampMs: number): void {
    this.#overlay.set(key.toString('latin1'), {
      key: Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestampMs,
    });
  }

  /**
   * Up to `limit` committed entries whose key begins with `prefix`, after the key `after`. The running batch's own puts
   * are not in it: call it between batches.
   */
  scan(prefix: Buffer, after: Buffer | null, limit: number): ViewEntry[] {
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

  /** Whether the running batch has put anything. */
  get dirty(): boolean {
    return this.#overlay.size > 0;
  }

  /** The running batch's puts as records of the topic, one per key. */
  writeTo(output: OutputBatch): void {
    for (const { key, value, timestampMs } of this.#overlay.values()) output.append(key, value, timestampMs);
  }

  /** After the commit: the overlay becomes the store, together with the topic's position. */
  committed(next: bigint): void {
    this.#environment.write(this.#at(next), (put, remove) => {
      for (const { key, value } of this.#overlay.values()) {
        if (value === null) remove(key);
        else put(key, value);
      }
    });
    this.#overlay.clear();
  }

  async close(): Promise<void> {
    await this.#environment.close();
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
