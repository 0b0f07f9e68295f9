/**
 * The intervals of candles and how they lie in each other: each candle is made of those of the next finer interval.
 *
 * Invariant: the children of a bucket cover it, and no instant is in two. 5m and 15m are aligned to the epoch, the others to the local clock of
 * the exchange; offsets are whole quarters of an hour since 1970, so no quarter crosses the border of an hour.
 */
import type { Zone } from './zone.ts';

/** A row of the source, in the topic of candles. */
export const BAR = 'bar';
/** The as-of stamp, in the topic of candles. */
export const AS_OF = 'asof';
/** From fine to coarse. */
export const INTERVALS = ['5m', '15m', '1h', '1d', '1w'] as const;
export type Interval = (typeof INTERVALS)[number];

export const MINUTE_MS = 60_000;
const FIVE_MS = 5 * MINUTE_MS;
const QUARTER_MS = 15 * MINUTE_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** Every border between two buckets of any interval is a multiple of it. */
export const BORDER_MS = FIVE_MS;

/** First instant, and the first one behind it. */
export interface Bucket {
  readonly start: number;
  readonly end: number;
}

/** The bucket of an interval that holds an instant. */
export function bucketOf(interval: Interval, zone: Zone, at: number): Bucket {
  switch (interval) {
    case '5m':
      return aligned(at, FIVE_MS);
    case '15m':
      return aligned(at, QUARTER_MS);
    case '1h': {
      const start = zone.hourStart(at);
      return { start, end: start + HOUR_MS };
    }
    case '1d':
      return zone.dayAt(at);
    case '1w':
      return zone.weekAt(at);
    default:
      return interval satisfies never;
  }
}

function aligned(at: number, size: number): Bucket {
  const start = Math.floor(at / size) * size;
  return { start, end: start + size };
}

/** Where the children of a bucket begin, in order: bars for 5m, else candles of the next finer interval. */
export function childStarts(interval: Interval, zone: Zone, { start, end }: Bucket): readonly number[] {
  switch (interval) {
    case '5m':
      return steps(start, end, MINUTE_MS);
    case '15m':
      return steps(start, end, FIVE_MS);
    case '1h':
      return steps(start, end, QUARTER_MS);
    case '1d':
      return zone.dayAt(start).hours;
    case '1w':
      return zone.weekAt(start).days;
    default:
      return interval satisfies never;
  }
}

function steps(start: number, end: number, size: number): number[] {
  const starts: number[] = [];
  for (let at = start; at < end; at += size) starts.push(at);
  return starts;
}
