/** The highest and the lowest of a window that only moves forward: a queue of what can still become the extreme. */

interface Held {
  /** Where it stands: any number that never falls. */
  readonly at: number;
  readonly value: bigint;
}

export class SlidingExtreme {
  readonly #sign: bigint;
  /** In order; each is beaten by none behind it. */
  readonly #held: Held[] = [];

  constructor(which: 'highest' | 'lowest') {
    this.#sign = which === 'highest' ? 1n : -1n;
  }

  push(at: number, value: bigint): void {
    while (this.#held.length > 0 && (value - this.#held.at(-1)!.value) * this.#sign >= 0n) this.#held.pop();
    this.#held.push({ at, value });
  }

  /** Of what stands at `from` or behind it; null when nothing does. What is in front is forgotten. */
  from(from: number): bigint | null {
    while (this.#held.length > 0 && this.#held[0]!.at < from) this.#held.shift();
    return this.#held[0]?.value ?? null;
  }
}
