/**
 * The best `limit` items by score, under scores that rise and fall.
 *
 * Kept: *candidates*, and a *floor* that parts them from all others.
 *
 *   invariant   every candidate ranks above the floor; every other item that has a score ranks at or below it.
 *               No floor: every item that has a score is a candidate.
 *
 * So while there are `limit` candidates, or no floor, the top is among them. An item that rises above the floor becomes a
 * candidate, one that falls to it stops being one. Too many candidates: the worst go, the best of them is the new floor.
 * Too few: one scan over all items picks new ones. Between two scans at least `reserve` candidates were lost, and
 * between two cuts at least `reserve` were won, so an update costs O(1 + items / reserve) at worst, O(1) as a rule.
 */

export interface BoardOptions<T> {
  readonly limit: number;
  /** How many candidates are kept beyond the limit. */
  readonly reserve: number;
  /** Not negative; NOT_RANKED for an item that is not to be ranked. */
  readonly scoreOf: (item: T) => number;
  /** All items there are, for a scan. */
  readonly items: () => Iterable<T>;
}

export const NOT_RANKED = -1;

interface Candidate<T> {
  readonly item: T;
  score: number;
  /** No candidate any more, but still in the order. */
  gone: boolean;
}

/** Moves per candidate after which sorting by insertion gives up. */
const MAX_MOVES = 16;

/** Score descending, ties by id descending: what ZREVRANGE does. */
function byRank(a: Candidate<{ readonly id: string }>, b: Candidate<{ readonly id: string }>): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.item.id < b.item.id ? 1 : a.item.id > b.item.id ? -1 : 0;
}

export class Board<T extends { readonly id: string }> {
  readonly #options: BoardOptions<T>;
  #candidates = new Map<T, Candidate<T>>();
  /** The candidates, nearly sorted: as they were at the last look, then new ones. */
  #order: Candidate<T>[] = [];
  #floor: { readonly id: string; readonly score: number } | null = null;
  #top: readonly T[] = [];
  #stale = false;

  constructor(options: BoardOptions<T>) {
    this.#options = options;
    this.rebuild();
  }

  /** To be called after the item's score changed. */
  update(item: T): void {
    const score = this.#options.scoreOf(item);
    const candidate = this.#candidates.get(item);
    if (candidate !== undefined) {
      if (candidate.score === score) return;
      this.#stale = true;
      if (this.#isAboveFloor(score, item.id)) candidate.score = score;
      else this.#remove(candidate);
    } else if (this.#isAboveFloor(score, item.id)) {
      this.#stale = true;
      const added = { item, score, gone: false };
      this.#candidates.set(item, added);
      this.#order.push(added);
      if (this.#candidates.size > this.#options.limit + 2 * this.#options.reserve) this.#cut();
    }
  }

  /** Forgets the candidates and picks them again by a scan. Cheaper than many updates. */
  rebuild(): void {
    this.#candidates = new Map();
    this.#order = [];
    this.#floor = null;
    this.#stale = true;
    for (const item of this.#options.items()) this.update(item);
  }

  /** The best items, best first. The same array as long as nothing changed. */
  top(): readonly T[] {
    if (!this.#stale) return this.#top;
    if (this.#floor !== null && this.#candidates.size < this.#options.limit) this.rebuild();
    this.#sort();
    this.#top = this.#order.slice(0, this.#options.limit).map(({ item }) => item);
    this.#stale = false;
    return this.#top;
  }

  #isAboveFloor(score: number, id: string): boolean {
    if (score === NOT_RANKED) return false;
    if (this.#floor === null || score > this.#floor.score) return true;
    return score === this.#floor.score && id > this.#floor.id;
  }

  #remove(candidate: Candidate<T>): void {
    candidate.gone = true;
    this.#candidates.delete(candidate.item);
  }

  #cut(): void {
    this.#sort();
    const [best, ...others] = this.#order.splice(this.#options.limit + this.#options.reserve);
    this.#floor = { id: best!.item.id, score: best!.score };
    for (const candidate of [best!, ...others]) this.#remove(candidate);
  }

  /** By insertion, which is linear as long as few have moved far; else anew. */
  #sort(): void {
    const order = this.#order.filter(({ gone }) => !gone);
    this.#order = order;
    let moves = 0;
    for (let i = 1; i < order.length; i += 1) {
      const candidate = order[i]!;
      let at = i;
      while (at > 0 && byRank(candidate, order[at - 1]!) < 0) {
        order[at] = order[at - 1]!;
        at -= 1;
      }
      order[at] = candidate;
      moves += i - at;
      if (moves > MAX_MOVES * order.length) {
        order.sort(byRank);
        return;
      }
    }
  }
}
