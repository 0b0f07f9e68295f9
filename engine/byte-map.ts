/**
 * A map from byte strings to byte strings, in the order in which keys first came. Entries lie in typed arrays and a few large chunks: a Map of an object,
 * a text and a Buffer each was a fifth of what a stage does, half of it for the garbage collector.
 *
 * Bytes are never moved or written again: a view of a value lives as long as whoever holds it, whatever comes of the map.
 */

/** The first chunk is small, each further one twice as large. */
const FIRST_CHUNK_BYTES = 1 << 12;
const CHUNK_BYTES = 1 << 18;
const FIRST_ENTRIES = 256;
/** What is kept of an entry beside its chunks: the hash, then where the key and the value begin, and how long they are. */
const FIELDS = 5;
const KEY = 1;
const KEY_LENGTH = 2;
const VALUE = 3;
const VALUE_LENGTH = 4;

/** FNV-1a, with the high bits mixed into the low ones that choose a place. */
export function hashOf(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}

export class ByteMap {
  #size = 0;
  #bytes = 0;
  /** Where the next bytes go. */
  #chunk = Buffer.alloc(0);
  #at = 0;
  readonly #keyChunks: Buffer[] = [];
  /** null: a tombstone. */
  readonly #valueChunks: (Buffer | null)[] = [];
  /** FIELDS of each entry. */
  #places = new Int32Array(FIRST_ENTRIES * FIELDS);
  #stamps = new Float64Array(FIRST_ENTRIES);
  /** Of each slot, the number of the entry that is there, from 1 on; 0 for none. At most half of them are taken. */
  #slots = new Int32Array(FIRST_ENTRIES * 2);

  get size(): number {
    return this.#size;
  }

  /** Bytes that were put, overwritten ones counted. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of the entry of a key; -1 for none. Entries are numbered from 0. `hash` is that of the key. */
  find(key: Uint8Array, hash: number): number {
    return this.#slots[this.#slotOf(key, 0, key.length, hash)]! - 1;
  }

  /** Copies key and value; null is a tombstone. `stamp` is any number. Returns the number of the entry. */
  set(key: Uint8Array, hash: number, value: Uint8Array | null, stamp: number): number {
    const slot = this.#slotOf(key, 0, key.length, hash);
    let entry = this.#slots[slot]! - 1;
    if (entry < 0) {
      const begin = this.#copy(key);
      entry = this.#add(slot, hash, { chunk: this.#chunk, begin, length: key.length });
    }
    if (value === null) this.#setValue(entry, null, 0, 0);
    else {
      const begin = this.#copy(value);
      this.#setValue(entry, this.#chunk, begin, value.length);
    }
    this.#stamps[entry] = stamp;
    return entry;
  }

  /** A view of the key. */
  key(entry: number): Buffer {
    const [begin, length] = [this.#places[entry * FIELDS + KEY]!, this.#places[entry * FIELDS + KEY_LENGTH]!];
    return this.#keyChunks[entry]!.subarray(begin, begin + length);
  }

  /** A view of the value; null for a tombstone. */
  value(entry: number): Buffer | null {
    const begin = this.#places[entry * FIELDS + VALUE]!;
    return this.#valueChunks[entry]?.subarray(begin, begin + this.#places[entry * FIELDS + VALUE_LENGTH]!) ?? null;
  }

  stamp(entry: number): number {
    return this.#stamps[entry]!;
  }

  /** Takes over all entries of another map, which must not be changed afterwards; the bytes are shared. */
  absorb(other: ByteMap): void {
    for (let from = 0; from < other.#size; from++) {
      const at = from * FIELDS;
      const hash = other.#places[at]!;
      const chunk = other.#keyChunks[from]!;
      const [begin, length] = [other.#places[at + KEY]!, other.#places[at + KEY_LENGTH]!];
      const slot = this.#slotOf(chunk, begin, length, hash);
      let entry = this.#slots[slot]! - 1;
      if (entry < 0) entry = this.#add(slot, hash, { chunk, begin, length });
      this.#setValue(entry, other.#valueChunks[from]!, other.#places[at + VALUE]!, other.#places[at + VALUE_LENGTH]!);
      this.#stamps[entry] = other.#stamps[from]!;
    }
    this.#bytes += other.#bytes;
  }

  /** The slot of a key, or the free one where it would be. */
  #slotOf(bytes: Uint8Array, begin: number, length: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]! - 1;
      if (entry < 0 || (this.#places[entry * FIELDS] === hash && this.#isKey(entry, bytes, begin, length))) return slot;
    }
  }

  #isKey(entry: number, bytes: Uint8Array, begin: number, length: number): boolean {
    if (this.#places[entry * FIELDS + KEY_LENGTH] !== length) return false;
    const chunk = this.#keyChunks[entry]!;
    const own = this.#places[entry * FIELDS + KEY]!;
    for (let at = 0; at < length; at++) if (chunk[own + at] !== bytes[begin + at]) return false;
    return true;
  }

  #add(
    slot: number,
    hash: number,
    key: { readonly chunk: Buffer; readonly begin: number; readonly length: number },
  ): number {
    const entry = this.#size++;
    if (this.#size > this.#stamps.length) this.#grow();
    const at = entry * FIELDS;
    this.#places[at] = hash;
    this.#places[at + KEY] = key.begin;
    this.#places[at + KEY_LENGTH] = key.length;
    this.#keyChunks.push(key.chunk);
    this.#valueChunks.push(null);
    if (this.#size * 2 > this.#slots.length) this.#widen();
    else this.#slots[slot] = this.#size;
    return entry;
  }

  #setValue(entry: number, chunk: Buffer | null, begin: number, length: number): void {
    this.#valueChunks[entry] = chunk;
    this.#places[entry * FIELDS + VALUE] = begin;
    this.#places[entry * FIELDS + VALUE_LENGTH] = length;
  }

  /** Returns where it begins in the chunk. */
  #copy(bytes: Uint8Array): number {
    const { length } = bytes;
    if (this.#at + length > this.#chunk.length) {
      const usual = Math.min(Math.max(FIRST_CHUNK_BYTES, this.#chunk.length * 2), CHUNK_BYTES);
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(usual, length));
      this.#at = 0;
    }
    const begin = this.#at;
    this.#chunk.set(bytes, begin);
    this.#at += length;
    this.#bytes += length;
    return begin;
  }

  #grow(): void {
    const places = new Int32Array(this.#places.length * 2);
    places.set(this.#places);
    this.#places = places;
    const stamps = new Float64Array(this.#stamps.length * 2);
    stamps.set(this.#stamps);
    this.#stamps = stamps;
  }

  #widen(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let entry = 0; entry < this.#size; entry++) {
      let slot = this.#places[entry * FIELDS]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry + 1;
    }
    this.#slots = slots;
  }
}
