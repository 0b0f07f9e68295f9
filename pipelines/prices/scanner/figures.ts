/** What a candle says to those who look for movers: pure and exact. */

import type { Mover, WatchedCandle } from '../../../schemas/prices/movers.ts';
import { NOT_RANKED } from '../../board.ts';
import type { Zone } from '../zone.ts';

export const PERIODS = ['1d', '1w'] as const;
export type Period = (typeof PERIODS)[number];

export function isPeriod(interval: string): interval is Period {
  return (PERIODS as readonly string[]).includes(interval);
}

/** Sorted, as a mover names them. */
export const BOARDS = [
  'at_resistance',
  'at_support',
  'gainers',
  'high_20d',
  'high_52w',
  'losers',
  'low_20d',
  'low_52w',
  'most_active',
  'unusual_volume',
] as const;
export type BoardName = (typeof BOARDS)[number];

/** 1970-01-01 was a Thursday. */
const isWeekend = (day: number): boolean => [0, 6].includes((((day + 4) % 7) + 7) % 7);

/** When a candle leaves the boards: Friday's stays over the weekend. */
export function untilOf(
  period: Period,
  zone: Zone,
  { start, end }: { readonly start: number; readonly end: number },
): number {
  if (period === '1w') return end;
  let next = zone.dayOf(start) + 1;
  while (isWeekend(next)) next++;
  return zone.midnight(next);
}

/** numerator / denominator, rounded half up; the denominator is positive. */
function rounded(numerator: bigint, denominator: bigint): bigint {
  const [twice, by] = [2n * numerator + denominator, 2n * denominator];
  const quotient = twice / by;
  return twice % by < 0n ? quotient - 1n : quotient;
}

/** Basis points from one price to another. */
function basisPoints(from: bigint, to: bigint): bigint {
  return rounded((to - from) * 10_000n, from);
}

export function changeBp({ close_e6, previous_close_e6 }: WatchedCandle): bigint | null {
  return previous_close_e6 === null ? null : basisPoints(previous_close_e6, close_e6);
}

/** A board's score of a candle; NOT_RANKED where it does not belong there. Never negative. */
export const scoreOf: Readonly<Record<BoardName, (candle: WatchedCandle) => number>> = {
  gainers: (candle) => above(changeBp(candle)),
  losers: (candle) => {
    const change = changeBp(candle);
    return above(change === null ? null : -change);
  },
  most_active: ({ volume }) => above(volume),
  unusual_volume: ({ volume_ratio }) => (volume_ratio !== null && volume_ratio >= 2 ? volume_ratio : NOT_RANKED),
  high_20d: ({ high_e6, high_20d_e6: level }) => broken(level, high_e6, 1n),
  high_52w: ({ high_e6, high_52w_e6: level }) => broken(level, high_e6, 1n),
  low_20d: ({ low_e6, low_20d_e6: level }) => broken(level, low_e6, -1n),
  low_52w: ({ low_e6, low_52w_e6: level }) => broken(level, low_e6, -1n),
  at_resistance: (candle) => {
    const { resistance_1_e6, resistance_2_e6 } = pivotsOf(candle);
    return near([resistance_1_e6, resistance_2_e6], candle.close_e6);
  },
  at_support: (candle) => {
    const { support_1_e6, support_2_e6 } = pivotsOf(candle);
    return near([support_1_e6, support_2_e6], candle.close_e6);
  },
};

/** So many basis points of the price from a level, and nobody says any more that the price is there. */
const NEAR_BP = 100n;

/** What is left of `NEAR_BP` at the nearest of the levels: the nearer the higher. */
function near(levels: readonly (bigint | null)[], price: bigint): number {
  const distances = levels.flatMap((level) => {
    if (level === null) return [];
    const distance = basisPoints(price, level);
    return distance < 0n ? -distance : distance;
  });
  const [nearest = NEAR_BP] = distances.sort((a, b) => (a < b ? -1 : 1));
  return above(NEAR_BP - nearest);
}

function above(value: bigint | null): number {
  return value !== null && value > 0n ? Number(value) : NOT_RANKED;
}

/** By how many basis points a level is broken, upwards or downwards. */
function broken(level: bigint | null, price: bigint, direction: 1n | -1n): number {
  if (level === null || (price - level) * direction <= 0n) return NOT_RANKED;
  return Math.abs(Number(basisPoints(level, price)));
}

type Pivots = Pick<Mover, 'pivot_e6' | 'resistance_1_e6' | 'support_1_e6' | 'resistance_2_e6' | 'support_2_e6'>;

/** The classic floor pivots of the candle before. */
export function pivotsOf({
  previous_high_e6: high,
  previous_low_e6: low,
  previous_close_e6: close,
}: Pick<WatchedCandle, 'previous_high_e6' | 'previous_low_e6' | 'previous_close_e6'>): Pivots {
  if (high === null || low === null || close === null) {
    return { pivot_e6: null, resistance_1_e6: null, support_1_e6: null, resistance_2_e6: null, support_2_e6: null };
  }
  const sum = high + low + close;
  return {
    pivot_e6: rounded(sum, 3n),
    resistance_1_e6: rounded(2n * sum - 3n * low, 3n),
    support_1_e6: rounded(2n * sum - 3n * high, 3n),
    resistance_2_e6: rounded(sum + 3n * (high - low), 3n),
    support_2_e6: rounded(sum - 3n * (high - low), 3n),
  };
}
