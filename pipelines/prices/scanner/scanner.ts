/**
 * The boards of one partition.
 *
 * Invariant: what is published is a function of the candles that have not left at the stream time, and of what the stocks table says of
 * their stocks; so a scanner opened again goes on from its topic alone.
 */
import type { WatchedCandle } from '../../../schemas/prices/movers.ts';
import type { Period } from './figures.ts';
import { type BoardRules, Universe } from './universe.ts';
import { type StockInfo, universesOf, Watched } from './watched.ts';

/** Places in each partition, and so the most that is exact over all of them. */
const RULES: BoardRules = { limit: 100, reserve: 50 };

export interface BoardsChange {
  readonly universe: string;
  readonly watched: Watched;
  /** Empty: on none any more. */
  readonly boards: readonly string[];
}

export class Scanner {
  readonly #watched = new Map<string, Watched>();
  readonly #universes = new Map<string, Universe>();
  /** Whose candles or stock are not as they were written. */
  readonly #dirty = new Set<Watched>();
  #timeMs: number;

  readonly #rules: BoardRules;

  constructor(timeMs: number, rules: BoardRules = RULES) {
    this.#timeMs = timeMs;
    this.#rules = rules;
  }

  get timeMs(): number {
    return this.#timeMs;
  }

  /** As it was written. To be called for every stock before anything else but `restoreBoards`. */
  restore(
    at: { readonly stockId: bigint; readonly period: Period },
    info: StockInfo,
    candles: readonly WatchedCandle[],
  ): void {
    const watched = this.#watch(at.stockId, at.period, info);
    watched.candles = candles;
    watched.refresh(this.#timeMs);
    for (const name of universesOf(info)) this.#universe(at.period, name).admit(watched);
  }

  /** As it was published. */
  restoreBoards(
    at: { readonly stockId: bigint; readonly period: Period; readonly universe: string },
    boards: readonly string[],
    info: StockInfo,
  ): void {
    this.#universe(at.period, at.universe).restore(this.#watch(at.stockId, at.period, info), boards);
  }

  /** A candle is as it says, or gone. One that has left by now is passed over. */
  change(
    at: { readonly stockId: bigint; readonly period: Period; readonly start: number },
    info: StockInfo,
    candle: WatchedCandle | null,
  ): void {
    const known = this.#watched.get(nameOf(at.stockId, at.period));
    const useless = candle === null || candle.until <= this.#timeMs;
    if (useless && known?.candles.some(({ start }) => start === at.start) !== true) return;
    const watched = this.#watch(at.stockId, at.period, info);
    if (candle === null) watched.remove(at.start);
    else watched.put(candle);
    this.#dirty.add(watched);
    this.#touch(watched);
  }

  /** Stream time goes on. */
  advance(timeMs: number): void {
    if (timeMs > this.#timeMs) this.#timeMs = timeMs;
  }

  /** The stocks table may say something else of a stock than before. */
  reclassify(infoOf: (stockId: bigint) => StockInfo | null): void {
    for (const watched of this.#watched.values()) {
      const info = infoOf(watched.stockId);
      if (info === null || info.sector === watched.info.sector) continue;
      for (const name of universesOf(watched.info)) this.#universe(watched.period, name).leave(watched);
      watched.info = info;
      this.#dirty.add(watched);
      this.#touch(watched);
    }
  }

  /** What has changed since the last call: stocks whose state is to be written, and their boards. */
  publish(): { readonly watched: readonly Watched[]; readonly boards: readonly BoardsChange[] } {
    for (const [name, watched] of this.#watched) {
      const { shown } = watched;
      if (watched.refresh(this.#timeMs)) this.#dirty.add(watched);
      if (watched.shown !== shown) this.#touch(watched);
      if (watched.candles.length > 0) continue;
      for (const universe of universesOf(watched.info)) this.#universe(watched.period, universe).leave(watched);
      this.#watched.delete(name);
    }
    const boards = [...this.#universes.values()].flatMap((universe) =>
      universe.publish().map((ranked) => ({ universe: universe.name, ...ranked })),
    );
    const watched = [...this.#dirty];
    this.#dirty.clear();
    return { watched, boards };
  }

  #touch(watched: Watched): void {
    for (const name of universesOf(watched.info)) this.#universe(watched.period, name).touch(watched);
  }

  #watch(stockId: bigint, period: Period, info: StockInfo): Watched {
    const name = nameOf(stockId, period);
    const watched = this.#watched.get(name) ?? new Watched(stockId, period, info);
    this.#watched.set(name, watched);
    return watched;
  }

  #universe(period: Period, name: string): Universe {
    const key = `${period}|${name}`;
    const universe = this.#universes.get(key) ?? new Universe(period, name, this.#rules);
    this.#universes.set(key, universe);
    return universe;
  }
}

function nameOf(stockId: bigint, period: Period): string {
  return `${period}|${stockId}`;
}
