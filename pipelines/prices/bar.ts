/** What a row of stock_prices must be to count: pure functions of the row and its stock. */
import { SluiceError } from '../../engine/errors.ts';
import type { RawPrice } from './codec/cdc.ts';
import { decimalE6 } from './codec/decimal.ts';
import { MINUTE_MS } from './intervals.ts';
import type { Zone } from './zone.ts';

/** Prices are millionths of the unit, times milliseconds since the epoch. */
export interface Bar {
  readonly start: number;
  /** A minute, or a day at the exchange, behind the start. */
  readonly end: number;
  readonly open: bigint;
  readonly high: bigint;
  readonly low: bigint;
  readonly close: bigint;
  readonly volume: bigint;
  readonly source: string;
}

const MAX_AHEAD_MS = 24 * 3_600_000;
/** 2200-01-01. Before 1970, and who knows how long after, offsets of zones are not whole quarters of an hour. */
const MAX_START_MS = Date.UTC(2200, 0, 1);

const bad = (code: string, message: string): SluiceError => new SluiceError(message, { code, action: 'dead-letter' });

/** Whether a source gives bars of days. */
function isDaily(source: string): boolean {
  return source === 'daily' || source.startsWith('daily:');
}

/**
 * The bar that a row is. `bytes` is what its spans refer to; `zone` is null for a stock that is not there. Throws the reason (dead-letter) why it
 * cannot count: BAD_NUMBER, PRICE_NOT_POSITIVE, HIGH_BELOW_LOW, OPEN_OUTSIDE_RANGE, CLOSE_OUTSIDE_RANGE, NEGATIVE_VOLUME, UNKNOWN_STOCK,
 * MISALIGNED_TIME or FUTURE_BAR.
 */
export function barOf(row: RawPrice, bytes: Buffer, zone: Zone | null, commitTsMs: number): Bar {
  const open = decimalE6(bytes, row.openAt);
  const high = decimalE6(bytes, row.highAt);
  const low = decimalE6(bytes, row.lowAt);
  const close = decimalE6(bytes, row.closeAt);
  const { volume, source } = row;
  if (open === null || high === null || low === null || close === null) {
    throw bad('BAD_NUMBER', 'A price is no decimal number with at most six decimals');
  }
  checkFigures({ open, high, low, close, volume });
  if (zone === null) throw bad('UNKNOWN_STOCK', `Stock ${row.stockId} was never seen, or is deleted`);
  const time = timeOf(row, zone, isDaily(source));
  if (time.start > commitTsMs + MAX_AHEAD_MS) {
    throw bad('FUTURE_BAR', `ts is ${new Date(time.start).toISOString()}, more than a day ahead`);
  }
  return { ...time, open, high, low, close, volume, source };
}

/**
 * Throws the reason (dead-letter) why figures are none of a bar: PRICE_NOT_POSITIVE, HIGH_BELOW_LOW, OPEN_OUTSIDE_RANGE, CLOSE_OUTSIDE_RANGE or
 * NEGATIVE_VOLUME.
 */
export function checkFigures(figures: Pick<Bar, 'open' | 'high' | 'low' | 'close' | 'volume'>): void {
  const { open, high, low, close, volume } = figures;
  if (open <= 0n || high <= 0n || low <= 0n || close <= 0n) throw bad('PRICE_NOT_POSITIVE', 'A price is 0 or less');
  if (high < low) throw bad('HIGH_BELOW_LOW', 'The high is below the low');
  if (open < low || open > high) throw bad('OPEN_OUTSIDE_RANGE', 'The open is not between low and high');
  if (close < low || close > high) throw bad('CLOSE_OUTSIDE_RANGE', 'The close is not between low and high');
  if (volume < 0n) throw bad('NEGATIVE_VOLUME', `The volume is ${volume}`);
}

function timeOf({ tsMicros }: RawPrice, zone: Zone, daily: boolean): { readonly start: number; readonly end: number } {
  const start = (tsMicros ?? Number.NaN) / 1000;
  if (!(start >= 0 && start < MAX_START_MS)) throw bad('MISALIGNED_TIME', 'ts is outside the years 1970 to 2199');
  if (!daily) {
    if (start % MINUTE_MS === 0) return { start, end: start + MINUTE_MS };
    throw bad('MISALIGNED_TIME', `ts is ${new Date(start).toISOString()}, not a whole minute`);
  }
  const day = zone.dayAt(start);
  if (day.start === start) return { start, end: day.end };
  throw bad('MISALIGNED_TIME', `ts of a daily bar is ${new Date(start).toISOString()}, not midnight at the exchange`);
}
