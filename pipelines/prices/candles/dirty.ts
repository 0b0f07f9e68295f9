/**
 * The candles of a batch that are to be computed again, once each, from fine to coarse.
 *
 * Invariant, after `compute`: every candle is what its children are, and there is none without children. So whether a day has hours can be
 * told from the day: one that is made of a daily bar has that bar's source.
 */
import { BAR, type Bucket, bucketOf, childStarts, INTERVALS, type Interval, MINUTE_MS } from '../intervals.ts';
import { combined, type Figures, sameFigures } from './figures.ts';
import { SlotMap } from './slots.ts';
import { type CandleTable, type Kind, type Origin, type Stock, seriesOf } from './table.ts';

interface Dirty {
  readonly stock: Stock;
  readonly bucket: Bucket;
  /** The newest change below it. */
  origin: Origin;
  /** Whether a candle of the next finer interval has changed, and not only a daily bar. */
  byChild: boolean;
  /** Written again even if it is the same. */
  forced: boolean;
}

const PARENT: Readonly<Record<Interval, Interval | null>> = {
  '5m': '15m',
  '15m': '1h',
  '1h': '1d',
  '1d': '1w',
  '1w': null,
};
const CHILD: Readonly<Record<Interval, Kind>> = { '5m': BAR, '15m': '5m', '1h': '15m', '1d': '1h', '1w': '1d' };

const isMinute = ({ start, end }: Bucket): boolean => end - start === MINUTE_MS;

export class DirtyCandles {
  readonly #table: CandleTable;
  readonly #isFinal: (end: number) => boolean;
  readonly #dirty: Readonly<Record<Interval, SlotMap<Dirty>>> = {
    '5m': new SlotMap(),
    '15m': new SlotMap(),
    '1h': new SlotMap(),
    '1d': new SlotMap(),
    '1w': new SlotMap(),
  };

  /** @param isFinal whether a candle with this end is final by now */
  constructor(table: CandleTable, isFinal: (end: number) => boolean) {
    this.#table = table;
    this.#isFinal = isFinal;
  }

  /** A bar has come, gone or changed. */
  bar(stock: Stock, bar: Bucket, origin: Origin, forced: boolean): void {
    const minute = isMinute(bar);
    this.#mark(minute ? '5m' : '1d', { stock, at: bar.start, origin, byChild: minute, forced });
  }

  /** Whether the batch may have changed the bar that begins there. */
  touches(stock: Stock, start: number): boolean {
    return (['5m', '1d'] as const).some((interval) => {
      const bucket = bucketOf(interval, stock.zone, start);
      return this.#dirty[interval].get(seriesOf(stock, interval), bucket.start / MINUTE_MS) !== undefined;
    });
  }

  /** Computes all of them and what follows from them. */
  compute(): void {
    for (const interval of INTERVALS) {
      const dirty = this.#dirty[interval];
      for (const one of dirty.values()) this.#compute(interval, one);
      dirty.clear();
    }
  }

  #mark(
    interval: Interval,
    mark: Pick<Dirty, 'stock' | 'origin' | 'byChild' | 'forced'> & { readonly at: number },
  ): void {
    const { stock, at, origin, byChild, forced } = mark;
    const bucket = bucketOf(interval, stock.zone, at);
    const [series, minute] = [seriesOf(stock, interval), bucket.start / MINUTE_MS];
    const dirty = this.#dirty[interval];
    const known = dirty.get(series, minute);
    if (known === undefined) {
      dirty.add(series, minute, { stock, bucket, origin, byChild, forced });
      return;
    }
    known.origin = origin;
    known.byChild ||= byChild;
    known.forced ||= forced;
  }

  #compute(interval: Interval, dirty: Dirty): void {
    const { stock, bucket, origin, forced } = dirty;
    const before = this.#table.get(stock, interval, bucket.start);
    const figures = this.#figures(interval, dirty, before);
    // What was final stays so: a correction of it is no open candle.
    const final = before?.final === true || this.#isFinal(bucket.end);
    const after = figures === null ? null : { ...figures, final };
    if (!forced && sameFigures(before, after)) return;
    this.#table.put(stock, interval, bucket.start, after, origin);
    const parent = PARENT[interval];
    if (parent !== null) this.#mark(parent, { stock, at: bucket.start, origin, byChild: true, forced });
  }

  #figures(interval: Interval, dirty: Dirty, before: Figures | null): Omit<Figures, 'final'> | null {
    const { stock, bucket, byChild } = dirty;
    if (interval === '1d' && !byChild && (before === null || before.source !== null)) return this.#daily(dirty);
    const kind = CHILD[interval];
    const children: Figures[] = [];
    for (const start of childStarts(interval, stock.zone, bucket)) {
      const child = this.#table.get(stock, kind, start);
      if (child !== null && (kind !== BAR || isMinute(child))) children.push(child);
    }
    if (children.length > 0) return combined(bucket, children);
    return interval === '1d' ? this.#daily(dirty) : null;
  }

  /** The day as its daily bar says it. */
  #daily({ stock, bucket }: Dirty): Omit<Figures, 'final'> | null {
    const bar = this.#table.get(stock, BAR, bucket.start);
    return bar === null || isMinute(bar) ? null : bar;
  }
}
