import type { Random } from '../../random.ts';

/**
 * Picks ranks 0…n−1 by Zipf's law (rank k with weight 1 / (k + 1)^exponent) in constant time, by Walker's alias method.
 */
export class Zipf {
  readonly #threshold: Float64Array;
  readonly #alias: Int32Array;

  constructor(n: number, exponent: number) {
    const weights = Float64Array.from({ length: n }, (_, rank) => 1 / (rank + 1) ** exponent);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#threshold = weights.map((weight) => (weight * n) / total);
    this.#alias = Int32Array.from({ length: n }, (_, rank) => rank);
    this.#balance(n);
  }

  pick(random: Random): number {
    const rank = random.below(this.#threshold.length);
    return random.unit() < this.#threshold[rank]! ? rank : this.#alias[rank]!;
  }

  /** Fills each column that is below one from one that is above, until all hold exactly one. */
  #balance(n: number): void {
    const small: number[] = [];
    const large: number[] = [];
    for (let rank = 0; rank < n; rank += 1) (this.#threshold[rank]! < 1 ? small : large).push(rank);
    while (small.length > 0 && large.length > 0) {
      const low = small.pop()!;
      const high = large.at(-1)!;
      this.#alias[low] = high;
      this.#threshold[high] = this.#threshold[high]! - (1 - this.#threshold[low]!);
      if (this.#threshold[high]! < 1) small.push(large.pop()!);
    }
  }
}
