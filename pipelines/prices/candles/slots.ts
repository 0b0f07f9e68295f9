/**
 * Maps from a slot to a value. A slot is a place in a series of candles: the number of the series (of one stock and kind) and a minute, both of 32 bits.
 * A Map would want one number for both, beyond the integers that it is fast with: it was a tenth of the stage's time.
 */

const FIRST_BITS = 10;

function hashOf(series: number, minute: number): number {
  const mixed = Math.imul(series, 0x9e3779b1) ^ Math.imul(minute, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** What was lately used, in memory that never grows: of the slots that share a pair of places the two used last are kept. */
export class RecentSlots<V> {
  readonly #series: Int32Array;
  readonly #minutes: Int32Array;
  readonly #values: (V | undefined)[];
  readonly #mask: number;

  /** @param places a power of two */
  constructor(places: number) {
    this.#series = new Int32Array(places);
    this.#minutes = new Int32Array(places);
    this.#values = new Array<V | undefined>(places).fill(undefined);
    this.#mask = places - 2;
  }

  /** undefined for what is not known. */
  get(series: number, minute: number): V | undefined {
    const first = hashOf(series, minute) & this.#mask;
    if (this.#series[first] === series && this.#minutes[first] === minute) return this.#values[first];
    const second = first + 1;
    if (this.#series[second] !== series || this.#minutes[second] !== minute) return undefined;
    const value = this.#values[second];
    this.#push(first, series, minute, value);
    return value;
  }

  set(series: number, minute: number, value: V): void {
    const first = hashOf(series, minute) & this.#mask;
    if (this.#series[first] === series && this.#minutes[first] === minute) this.#values[first] = value;
    else this.#push(first, series, minute, value);
  }

  /** In front; what was there is second now, and what was second is forgotten (or is the one that comes in front). */
  #push(first: number, series: number, minute: number, value: V | undefined): void {
    this.#series[first + 1] = this.#series[first]!;
    this.#minutes[first + 1] = this.#minutes[first]!;
    this.#values[first + 1] = this.#values[first];
    this.#series[first] = series;
    this.#minutes[first] = minute;
    this.#values[first] = value;
  }
}

/** All slots of a batch, in the order in which they came. */
export class SlotMap<V> {
  readonly #series: number[] = [];
  readonly #minutes: number[] = [];
  readonly #values: V[] = [];
  /** Of each place, the number of the slot that is there, from 1 on; 0 for none. */
  #places = new Int32Array(1 << FIRST_BITS);

  get(series: number, minute: number): V | undefined {
    return this.#values[this.#places[this.#placeOf(series, minute)]! - 1];
  }

  /** A slot that is not there yet. */
  add(series: number, minute: number, value: V): void {
    const size = this.#values.push(value);
    this.#series.push(series);
    this.#minutes.push(minute);
    if (size * 2 > this.#places.length) this.#grow();
    else this.#places[this.#placeOf(series, minute)] = size;
  }

  /** Also those that are added meanwhile. */
  values(): Iterable<V> {
    return this.#values;
  }

  clear(): void {
    for (const list of [this.#series, this.#minutes, this.#values]) list.length = 0;
    this.#places = new Int32Array(1 << FIRST_BITS);
  }

  /** Where the slot is, or where it would be. */
  #placeOf(series: number, minute: number): number {
    const mask = this.#places.length - 1;
    let place = hashOf(series, minute) & mask;
    for (;;) {
      const at = this.#places[place]! - 1;
      if (at < 0 || (this.#series[at] === series && this.#minutes[at] === minute)) return place;
      place = (place + 1) & mask;
    }
  }

  #grow(): void {
    this.#places = new Int32Array(this.#places.length * 2);
    for (let at = 0; at < this.#values.length; at++) {
      this.#places[this.#placeOf(this.#series[at]!, this.#minutes[at]!)] = at + 1;
    }
  }
}
