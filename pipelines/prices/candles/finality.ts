/**
 * Makes final what has ended between two readings of the clock, in bounded pieces.
 *
 * Invariant: before the pass every candle with an end up to `from` is final; after it, every one with an end up to `to`. What is written while it runs is
 * written with the newer stream time, so the order does not matter, and a pass that is begun again does nothing twice.
 */
import { BORDER_MS, type Bucket, bucketOf, childStarts, INTERVALS, type Interval } from '../intervals.ts';
import type { CandleTable, Origin, Stock } from './table.ts';

export class FinalityPass {
  readonly #table: CandleTable;
  readonly #stocks: Iterator<Stock>;
  readonly #from: number;
  readonly #to: number;
  readonly #origin: Origin;
  #done: boolean;
  #looked = 0;

  constructor(options: {
    readonly table: CandleTable;
    readonly stocks: Iterable<Stock>;
    /** Ends in (from, to] are to become final. */
    readonly from: number;
    readonly to: number;
    readonly origin: Origin;
  }) {
    this.#table = options.table;
    this.#stocks = options.stocks[Symbol.iterator]();
    this.#from = options.from;
    this.#to = options.to;
    this.#origin = options.origin;
    // Most readings pass no border of any candle.
    this.#done = Math.floor(this.#to / BORDER_MS) <= Math.floor(this.#from / BORDER_MS);
  }

  get done(): boolean {
    return this.#done;
  }

  /** Looks at the candles of the next stocks, until it has looked at `limit` of them or more. */
  run(limit: number): void {
    this.#looked = 0;
    while (!this.#done && this.#looked < limit) {
      const next = this.#stocks.next();
      if (next.done === true) this.#done = true;
      else this.#stock(next.value);
    }
  }

  #stock(stock: Stock): void {
    let week = bucketOf('1w', stock.zone, this.#from);
    while (week.start < this.#to) {
      this.#visit(stock, INTERVALS.length - 1, week);
      week = bucketOf('1w', stock.zone, week.end);
    }
  }

  /** A candle and, where there is one, what lies in it: without it there is nothing. */
  #visit(stock: Stock, level: number, bucket: Bucket): void {
    if (bucket.end <= this.#from || bucket.start >= this.#to) return;
    const interval: Interval = INTERVALS[level]!;
    this.#looked++;
    const figures = this.#table.get(stock, interval, bucket.start);
    if (figures === null) return;
    if (!figures.final && bucket.end <= this.#to) {
      this.#table.put(stock, interval, bucket.start, { ...figures, final: true }, this.#origin);
    }
    // A day that is made of a daily bar has no hours.
    if (level === 0 || figures.source !== null) return;
    const finer = INTERVALS[level - 1]!;
    for (const start of childStarts(interval, stock.zone, bucket)) {
      this.#visit(stock, level - 1, bucketOf(finer, stock.zone, start));
    }
  }
}
