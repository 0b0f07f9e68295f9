/** The newest record per key of one partition, as hashes: 29 bytes a slot, at most 70 % full, so about 60 bytes a row. */

const MIN_SLOTS = 1 << 10;
const MAX_FILL = 0.7;

const EMPTY = 0;
const LIVE = 1;
const GONE = 2;

export class RowTable {
  #slots: number;
  #used = 0;
  #keys: BigUint64Array;
  #ids: BigInt64Array;
  #hashes: BigUint64Array;
  #states: Uint8Array;

  constructor(expectedRows = 0) {
    let slots = MIN_SLOTS;
    while (slots * MAX_FILL < Math.min(expectedRows, 1 << 20)) slots *= 2;
    this.#slots = slots;
    this.#keys = new BigUint64Array(slots);
    this.#ids = new BigInt64Array(slots);
    this.#hashes = new BigUint64Array(slots);
    this.#states = new Uint8Array(slots);
  }

  /** Replaces what the key stood for. */
  put(key: bigint, id: bigint, hash: bigint): void {
    this.#set(key, id, hash, LIVE);
  }

  remove(key: bigint): void {
    this.#set(key, 0n, 0n, GONE);
  }

  *live(): Generator<readonly [id: bigint, hash: bigint]> {
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#states[slot] === LIVE) yield [this.#ids[slot]!, this.#hashes[slot]!];
    }
  }

  #set(key: bigint, id: bigint, hash: bigint, state: number): void {
    if (this.#used >= this.#slots * MAX_FILL) this.#grow();
    // The key is a hash itself.
    let slot = Number(key & BigInt(this.#slots - 1));
    while (this.#states[slot] !== EMPTY && this.#keys[slot] !== key) slot = (slot + 1) & (this.#slots - 1);
    if (this.#states[slot] === EMPTY) this.#used++;
    this.#keys[slot] = key;
    this.#ids[slot] = id;
    this.#hashes[slot] = hash;
    this.#states[slot] = state;
  }

  #grow(): void {
    const old = { slots: this.#slots, keys: this.#keys, ids: this.#ids, hashes: this.#hashes, states: this.#states };
    this.#slots *= 2;
    this.#used = 0;
    this.#keys = new BigUint64Array(this.#slots);
    this.#ids = new BigInt64Array(this.#slots);
    this.#hashes = new BigUint64Array(this.#slots);
    this.#states = new Uint8Array(this.#slots);
    for (let slot = 0; slot < old.slots; slot++) {
      const state = old.states[slot]!;
      // The tombstone of a key can be forgotten: without a slot the key is gone too.
      if (state === LIVE) this.#set(old.keys[slot]!, old.ids[slot]!, old.hashes[slot]!, state);
    }
  }
}
