/** The highest and the lowest of a window that only moves forward: a queue of what can still become the extreme. */
export class SlidingExtreme {
  readonly #highest: boolean;
  /** Where each stands, and its value, in order; each is beaten by none behind it. Two lists: an object for each would be the collector's work. */
  readonly #at: number[] = [];
  readonly #values: bigint[] = [];

  constructor(which: 'highest' | 'lowest') {
    this.#highest = which === 'highest';
  }

  /** @param at any number that never falls */
  push(at: number, value: bigint): void {
    const values = this.#values;
    while (values.length > 0) {
      const last = values[values.length - 1]!;
      // Compared, not subtracted: a difference would be one more bigint.
      if (this.#highest ? value < last : value > last) break;
      values.pop();
      this.#at.pop();
    }
    values.push(value);
    this.#at.push(at);
  }

  /** Of what stands at `from` or behind it; null when nothing does. What is in front is forgotten. */
  from(from: number): bigint | null {
    while (this.#at.length > 0 && this.#at[0]! < from) {
      this.#at.shift();
      this.#values.shift();
    }
    return this.#values[0] ?? null;
  }
}
