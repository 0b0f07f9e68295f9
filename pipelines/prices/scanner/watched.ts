/** One stock in one period: the candles that are on the boards or may come on them, and the one that is shown. */
import type { WatchedCandle } from '../../../schemas/prices/movers.ts';
import type { Period } from './figures.ts';

export interface StockInfo {
  readonly symbol: string;
  readonly exchange: string;
  readonly sector: string | null;
}

export class Watched {
  /** Ties on a board are broken by it, as Redis does by the member. */
  readonly id: string;
  readonly stockId: bigint;
  readonly period: Period;
  info: StockInfo;
  /** In the order of time. */
  candles: readonly WatchedCandle[] = [];
  /** The newest that has begun and not left. */
  shown: WatchedCandle | null = null;

  constructor(stockId: bigint, period: Period, info: StockInfo) {
    this.id = info.symbol;
    this.stockId = stockId;
    this.period = period;
    this.info = info;
  }

  put(candle: WatchedCandle): void {
    this.candles = [...this.candles.filter(({ start }) => start !== candle.start), candle].sort(
      (a, b) => a.start - b.start,
    );
  }

  remove(start: number): void {
    this.candles = this.candles.filter((candle) => candle.start !== start);
  }

  /** Drops what has left by this stream time and shows what is current. Returns whether something was dropped. */
  refresh(timeMs: number): boolean {
    const left = this.candles.some(({ until }) => until <= timeMs);
    if (left) this.candles = this.candles.filter(({ until }) => until > timeMs);
    this.shown = this.candles.findLast(({ start }) => start <= timeMs) ?? null;
    return left;
  }
}

/** The universes that a stock is in. */
export function universesOf({ exchange, sector }: StockInfo): readonly string[] {
  const names = ['all', `exchange:${exchange}`];
  return sector === null ? names : [...names, `sector:${sector}`];
}
