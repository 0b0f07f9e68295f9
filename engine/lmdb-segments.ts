/** The base of a segmented store: an LMDB environment, or, for tests of a stage in memory, two levels of maps. */
import type { Environment } from './lmdb-environment.ts';
import { type ChangelogEntry, decodeSegmentKey, encodeSegmentKey, type SegmentBase } from './segment-base.ts';

/** Keys of a segment start with its name and byte 0, so byte 1 ends them. */
function endOf(segment: string): Buffer {
  return Buffer.from(`${segment}\x01`);
}

/** Segments kept in an LMDB environment, which this base then owns: closing the base closes it. */
export function lmdbSegments(environment: Environment): SegmentBase {
  return new LmdbSegments(environment);
}

class LmdbSegments implements SegmentBase {
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  get(segment: string, key: string): Uint8Array | undefined {
    return this.#environment.db.get(encodeSegmentKey(segment, key));
  }

  *scan(segment: string): Generator<readonly [string, Uint8Array]> {
    const prefix = Buffer.byteLength(segment) + 1;
    for (const { key, value } of this.#environment.db.getRange({
      start: encodeSegmentKey(segment, ''),
      end: endOf(segment),
    })) {
      yield [key.toString('utf8', prefix), value];
    }
  }

  *segments(): Generator<string> {
    let start: Buffer = Buffer.alloc(0);
    for (;;) {
      const [first] = this.#environment.db.getKeys({ start, limit: 1 });
      if (first === undefined) return;
      const [segment] = decodeSegmentKey(first);
      yield segment;
      start = endOf(segment);
    }
  }

  write(positions: Readonly<Record<string, string>>, entries: readonly ChangelogEntry[]): void {
    this.#environment.write(positions, (put, remove) => {
      for (const { key, value } of entries) {
        if (value === null) remove(key);
        else put(key, value);
      }
    });
  }

  positions(): Readonly<Record<string, string>> {
    return this.#environment.positions();
  }

  wipe(): void {
    this.#environment.wipe();
  }

  close(): Promise<void> {
    return this.#environment.close();
  }
}

/** Segments in memory: nothing survives the process. */
export function memorySegments(): SegmentBase {
  return new MemorySegments();
}

class MemorySegments implements SegmentBase {
  readonly #segments = new Map<string, Map<string, Uint8Array>>();
  #positions: Readonly<Record<string, string>> = {};

  get(segment: string, key: string): Uint8Array | undefined {
    return this.#segments.get(segment)?.get(key);
  }

  scan(segment: string): Iterable<readonly [string, Uint8Array]> {
    return [...(this.#segments.get(segment) ?? [])];
  }

  segments(): Iterable<string> {
    return [...this.#segments.keys()];
  }

  write(positions: Readonly<Record<string, string>>, entries: readonly ChangelogEntry[]): void {
    for (const { key: bytes, value } of entries) {
      const [name, key] = decodeSegmentKey(bytes);
      const segment = this.#segments.get(name) ?? new Map<string, Uint8Array>();
      this.#segments.set(name, segment);
      if (value === null) segment.delete(key);
      else segment.set(key, value);
      if (segment.size === 0) this.#segments.delete(name);
    }
    this.#positions = { ...positions };
  }

  positions(): Readonly<Record<string, string>> {
    return this.#positions;
  }

  wipe(): void {
    this.#segments.clear();
    this.#positions = {};
  }

  async close(): Promise<void> {}
}
