import type { Random } from '../../random.ts';

/** A bounded bag of ids with a removal in constant time. */
class Bag {
  readonly #ids: BigInt64Array;
  #size = 0;
  /** Where the next id goes once the bag is full: round and round, so that what stays is recent. */
  #cursor = 0;

  constructor(capacity: number) {
    this.#ids = new BigInt64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds an id; when the bag is full, gives back the one it pushed out. */
  add(id: bigint): bigint | null {
    if (this.#size < this.#ids.length) {
      this.#ids[this.#size] = id;
      this.#size += 1;
      return null;
    }
    const evicted = this.#ids[this.#cursor]!;
    this.#ids[this.#cursor] = id;
    this.#cursor = (this.#cursor + 1) % this.#ids.length;
    return evicted;
  }

  at(index: number): bigint {
    return this.#ids[index]!;
  }

  removeAt(index: number): void {
    this.#size -= 1;
    this.#ids[index] = this.#ids[this.#size]!;
  }
}

/** Share of changes that go to rows of the recent past; the others go to older ones. */
const RECENT_SHARE = 0.85;
/** One in so many ids that leave the recent bag is kept as an old one. */
const OLD_SAMPLING = 16;

/** The ids of rows that may still be updated or deleted: recent ones and a sample of older ones, both bounded. */
export class RowIds {
  readonly #recent: Bag;
  readonly #old: Bag;
  #evictions = 0;

  constructor(options: { readonly recent: number; readonly old: number; readonly existing: Iterable<bigint> }) {
    this.#recent = new Bag(options.recent);
    this.#old = new Bag(options.old);
    for (const id of options.existing) this.#old.add(id);
  }

  add(id: bigint): void {
    const evicted = this.#recent.add(id);
    if (evicted === null) return;
    this.#evictions += 1;
    if (this.#evictions % OLD_SAMPLING === 0) this.#old.add(evicted);
  }

  /** Any id, or null when there is none yet. It stays. */
  pick(random: Random): bigint | null {
    const bag = this.#bag(random);
    return bag.size === 0 ? null : bag.at(random.below(bag.size));
  }

  /** Any id, which is then gone. */
  take(random: Random): bigint | null {
    const bag = this.#bag(random);
    if (bag.size === 0) return null;
    const index = random.below(bag.size);
    const id = bag.at(index);
    bag.removeAt(index);
    return id;
  }

  #bag(random: Random): Bag {
    const wantsRecent = random.chance(RECENT_SHARE);
    if (this.#recent.size === 0) return this.#old;
    return wantsRecent || this.#old.size === 0 ? this.#recent : this.#old;
  }
}
