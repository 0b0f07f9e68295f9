/**
 * A checkpointed store in two levels: entries are grouped in segments (a pane of a window, say), and a whole segment
 * can be dropped at once.
 *
 * Changes gather in memory. At a checkpoint `drainDirty` gives what changed since the last one, encoded, for the
 * changelog in Kafka; after that transaction is committed, `checkpoint` writes the same entries and the positions they
 * stand for to the base (LMDB) in one transaction. What memory holds beyond `maxEntries` then leaves it.
 *
 *   clean ──put/remove/dropSegment──► dirty ──drainDirty──► drained ──checkpoint──► clean
 *     ▲                                 │                      │
 *     └────────────── discard ──────────┴──────────────────────┘   (the transaction was aborted: back to the base)
 *
 * Restore: `applyChangelog` for each record beyond the base's positions, `checkpoint`, then a silent replay of the input. At its
 * end the stage's processor must have done what it does before a commit, with its outputs dropped: what it has published
 * up to that offset is then known again, and nothing was written to the store to know it.
 */
import { SluiceError } from './errors.ts';
import {
  type ChangelogEntry,
  decodeSegmentKey,
  encodeSegmentKey,
  type SegmentBase,
  type ValueCodec,
} from './segment-base.ts';

export type { ValueCodec } from './segment-base.ts';

/** A handle on one segment, for hot paths. It must not be kept beyond `dropSegment` or `discard`. */
export interface Segment<V> {
  /** The value, owned by the store: it may be changed in place if `put` follows, and must not be kept over a checkpoint. */
  get(key: string): V | undefined;
  /** Sets the value, or marks one changed in place. */
  put(key: string, value: V): void;
  remove(key: string): void;
}

/** What a stage's pure code sees of the store. */
export interface SegmentedStore<V> {
  segment(name: string): Segment<V>;
  get(segment: string, key: string): V | undefined;
  put(segment: string, key: string, value: V): void;
  remove(segment: string, key: string): void;
  /** Every entry of the segment, in no particular order. The store must not be changed while it is read. */
  scan(segment: string): Iterable<readonly [key: string, value: V]>;
  /** Names of all segments that may hold entries, in no particular order. */
  segments(): readonly string[];
  dropSegment(name: string): void;
}

/** What the engine sees of it. */
export interface CheckpointedStore<V> extends SegmentedStore<V> {
  /** What changed since the last checkpoint. The result stays pending until `checkpoint` or `discard`. */
  drainDirty(): readonly ChangelogEntry[];
  /** Writes what was drained or applied, and the positions it stands for, in one transaction. Throws FENCED (reconnect). */
  checkpoint(positions: Readonly<Record<string, string>>): void;
  /** One changelog record, for a restore; it counts from the next `checkpoint` on: call that every few thousand records. */
  applyChangelog(key: Uint8Array, value: Uint8Array | null): void;
  /** Forgets everything since the last checkpoint. */
  discard(): void;
  /** Positions of the last checkpoint; empty for a new or wiped store. */
  positions(): Readonly<Record<string, string>>;
  wipe(): void;
  close(): Promise<void>;
}

export interface SegmentedStoreOptions<V> {
  readonly base: SegmentBase;
  readonly codec: ValueCodec<V>;
  /** Entries kept in memory after a checkpoint. Between two checkpoints memory grows by what is touched. */
  readonly maxEntries?: number;
}

const DEFAULT_MAX_ENTRIES = 200_000;

/** Opens a store over a base. */
export function segmentedStore<V>(options: SegmentedStoreOptions<V>): CheckpointedStore<V> {
  return new CachedStore(options);
}

interface Entry<V> {
  value: V | undefined;
  dirty: boolean;
  /** Whether the base, and so the changelog, holds this key: only then does its removal need a tombstone. */
  inBase: boolean;
  /** The checkpoint interval it was last used in. */
  epoch: number;
}

class CachedSegment<V> implements Segment<V> {
  readonly name: string;
  readonly entries = new Map<string, Entry<V>>();
  /** False when the base may hold keys that `entries` does not. */
  complete: boolean;
  readonly #store: CachedStore<V>;
  #lastKey: string | undefined;
  #last: Entry<V> | undefined;

  constructor(store: CachedStore<V>, name: string, complete: boolean) {
    this.#store = store;
    this.name = name;
    this.complete = complete;
  }

  get(key: string): V | undefined {
    return this.entry(key).value;
  }

  put(key: string, value: V): void {
    const entry = this.entry(key);
    entry.value = value;
    this.#mark(entry);
  }

  remove(key: string): void {
    const entry = this.entry(key);
    if (entry.value === undefined) return;
    entry.value = undefined;
    this.#mark(entry);
  }

  /** The entry of the key, read from the base when memory lacks it. Absence is kept too. */
  entry(key: string): Entry<V> {
    if (key === this.#lastKey && this.#last !== undefined) return this.#last;
    let entry = this.entries.get(key);
    if (entry === undefined) {
      const value = this.complete ? undefined : this.#store.read(this.name, key);
      entry = { value, dirty: false, inBase: value !== undefined, epoch: 0 };
      this.entries.set(key, entry);
      this.#store.count += 1;
    }
    entry.epoch = this.#store.epoch;
    this.#lastKey = key;
    this.#last = entry;
    return entry;
  }

  /** Drops clean entries last used before the given interval. */
  evict(before: number): number {
    let evicted = 0;
    for (const [key, entry] of this.entries) {
      if (entry.dirty || entry.epoch >= before) continue;
      this.entries.delete(key);
      evicted += 1;
      if (entry.inBase) this.complete = false;
    }
    this.#lastKey = undefined;
    this.#last = undefined;
    return evicted;
  }

  #mark(entry: Entry<V>): void {
    if (entry.dirty) return;
    entry.dirty = true;
    this.#store.dirtySegments.add(this);
  }
}

class CachedStore<V> implements CheckpointedStore<V> {
  /** Entries in memory. */
  count = 0;
  /** Number of the checkpoint interval. */
  epoch = 1;
  readonly dirtySegments = new Set<CachedSegment<V>>();
  readonly #base: SegmentBase;
  readonly #codec: ValueCodec<V>;
  readonly #maxEntries: number;
  readonly #segments = new Map<string, CachedSegment<V>>();
  /** Segments of the base. A segment whose last entry was removed stays named until it is dropped. */
  readonly #inBase: Set<string>;
  /** Dropped since the last drain; what the base still holds of them is dead. */
  readonly #dropped = new Set<string>();
  #pending: ChangelogEntry[] = [];
  #drained = false;

  constructor(options: SegmentedStoreOptions<V>) {
    this.#base = options.base;
    this.#codec = options.codec;
    this.#maxEntries = options.maxEntries ?? DEFAULT_MAX_ENTRIES;
    this.#inBase = new Set(options.base.segments());
  }

  segment(name: string): CachedSegment<V> {
    let segment = this.#segments.get(name);
    if (segment === undefined) {
      if (name === '' || name.includes('\0')) throw misuse(`'${name}' is no name for a segment`);
      segment = new CachedSegment<V>(this, name, !this.#baseHolds(name));
      this.#segments.set(name, segment);
    }
    return segment;
  }

  get(segment: string, key: string): V | undefined {
    return this.segment(segment).get(key);
  }

  put(segment: string, key: string, value: V): void {
    this.segment(segment).put(key, value);
  }

  remove(segment: string, key: string): void {
    this.segment(segment).remove(key);
  }

  *scan(name: string): Generator<readonly [string, V]> {
    const segment = this.#segments.get(name);
    if (this.#baseHolds(name) && segment?.complete !== true) {
      for (const [key, bytes] of this.#base.scan(name)) {
        if (segment?.entries.has(key) !== true) yield [key, this.#codec.decode(bytes, name)];
      }
    }
    if (segment === undefined) return;
    for (const [key, entry] of segment.entries) {
      if (entry.value !== undefined) yield [key, entry.value];
    }
  }

  segments(): readonly string[] {
    const names = new Set<string>();
    for (const name of this.#inBase) if (!this.#dropped.has(name)) names.add(name);
    for (const segment of this.#segments.values()) {
      if (segment.entries.size > 0) names.add(segment.name);
    }
    return [...names];
  }

  dropSegment(name: string): void {
    const segment = this.#segments.get(name);
    if (segment !== undefined) {
      this.count -= segment.entries.size;
      this.dirtySegments.delete(segment);
      this.#segments.delete(name);
    }
    this.#dropped.add(name);
  }

  /** The value in the base. */
  read(segment: string, key: string): V | undefined {
    const bytes = this.#base.get(segment, key);
    return bytes === undefined ? undefined : this.#codec.decode(bytes, segment);
  }

  drainDirty(): readonly ChangelogEntry[] {
    if (this.#drained || this.#pending.length > 0) throw misuse('drained twice without a checkpoint');
    this.#drained = true;
    const out = this.#pending;
    for (const name of this.#dropped) this.#drainDropped(name, out);
    this.#dropped.clear();
    for (const segment of this.dirtySegments) this.#drainSegment(segment, out);
    this.dirtySegments.clear();
    return out;
  }

  checkpoint(positions: Readonly<Record<string, string>>): void {
    this.#base.write(positions, this.#pending);
    this.#pending = [];
    this.#drained = false;
    this.epoch += 1;
    this.#evict();
  }

  applyChangelog(key: Uint8Array, value: Uint8Array | null): void {
    if (this.#drained || this.dirtySegments.size > 0 || this.#dropped.size > 0) {
      throw misuse('the changelog was applied over changes');
    }
    if (this.count > 0) this.#forgetMemory();
    const [name] = decodeSegmentKey(key);
    if (value !== null) this.#inBase.add(name);
    this.#pending.push({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) });
  }

  discard(): void {
    this.#forgetMemory();
    this.dirtySegments.clear();
    this.#dropped.clear();
    this.#pending = [];
    this.#drained = false;
    this.#reindex();
  }

  positions(): Readonly<Record<string, string>> {
    return this.#base.positions();
  }

  wipe(): void {
    this.#base.wipe();
    this.discard();
  }

  close(): Promise<void> {
    return this.#base.close();
  }

  /** Whether the base holds live entries of the segment. */
  #baseHolds(name: string): boolean {
    return this.#inBase.has(name) && !this.#dropped.has(name);
  }

  #drainDropped(name: string, out: ChangelogEntry[]): void {
    if (!this.#inBase.has(name)) return;
    const again = this.#segments.get(name);
    for (const [key] of this.#base.scan(name)) {
      // Put again after the drop: the new value follows below and takes the place of the old one.
      const entry = again?.entries.get(key);
      if (entry?.value !== undefined) continue;
      out.push({ key: encodeSegmentKey(name, key), value: null });
    }
    this.#inBase.delete(name);
  }

  #drainSegment(segment: CachedSegment<V>, out: ChangelogEntry[]): void {
    for (const [key, entry] of segment.entries) {
      if (!entry.dirty) continue;
      entry.dirty = false;
      if (entry.value !== undefined) {
        out.push({ key: encodeSegmentKey(segment.name, key), value: this.#codec.encode(entry.value, segment.name) });
        entry.inBase = true;
        this.#inBase.add(segment.name);
      } else if (entry.inBase) {
        out.push({ key: encodeSegmentKey(segment.name, key), value: null });
        entry.inBase = false;
      }
    }
  }

  /** Everything older than the interval just ended goes first; when that is not enough, all that is clean. */
  #evict(): void {
    for (const before of [this.epoch - 1, this.epoch]) {
      if (this.count <= this.#maxEntries) return;
      for (const segment of this.#segments.values()) this.count -= segment.evict(before);
    }
  }

  #forgetMemory(): void {
    this.#segments.clear();
    this.count = 0;
  }

  #reindex(): void {
    this.#inBase.clear();
    for (const name of this.#base.segments()) this.#inBase.add(name);
  }
}

function misuse(what: string): SluiceError {
  return new SluiceError(`Segmented store: ${what}`, { code: 'STORE_MISUSED', action: 'fatal' });
}
