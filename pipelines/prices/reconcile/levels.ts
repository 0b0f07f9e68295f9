/** The exact levels in front of a candle: the candle before with its floor pivots, 20 days and 52 weeks. Looked for anew for each candle. */
import type { CandleFigures, CandleKind } from './source.ts';

const LEVELS = ['previous_close_e6', 'previous_high_e6', 'previous_low_e6'] as const;
const RANGES = ['high_20d_e6', 'low_20d_e6', 'high_52w_e6', 'low_52w_e6'] as const;
const PIVOTS = ['pivot_e6', 'resistance_1_e6', 'support_1_e6', 'resistance_2_e6', 'support_2_e6'] as const;

export const LEVEL_NAMES = [...LEVELS, ...RANGES, ...PIVOTS] as const;
/** Millionths; null: there is none. */
export type Levels = Readonly<Record<(typeof LEVEL_NAMES)[number], bigint | null>>;

const HALF_DAY_MS = 43_200_000;
const YEAR_MS = 364 * 2 * HALF_DAY_MS;
/** Candles that make 20 trading days. */
const DAYS: Readonly<Record<CandleKind, number | null>> = { '5m': null, '15m': null, '1h': null, '1d': 20, '1w': 4 };

const NONE = Object.fromEntries(LEVEL_NAMES.map((name) => [name, null])) as Levels;

/** Of the candle in this place. Ranges and pivots are of days and weeks only. */
export function levelsOf(kind: CandleKind, candles: readonly CandleFigures[], at: number): Levels {
  const before = candles[at - 1];
  if (before === undefined) return NONE;
  const previous = { previous_close_e6: before.close, previous_high_e6: before.high, previous_low_e6: before.low };
  const days = DAYS[kind];
  if (days === null) return { ...NONE, ...previous };
  const { start } = candles[at]!;
  const twenty = at < days ? [] : candles.slice(at - days, at);
  // Days begin an hour earlier or later where the clock was changed in between.
  const reachesBack = candles[0]!.start <= start - YEAR_MS + HALF_DAY_MS;
  const year = reachesBack ? since(candles, at, start - YEAR_MS - HALF_DAY_MS) : [];
  return {
    ...previous,
    ...pivotsOf(before),
    high_20d_e6: extreme(twenty, 'high'),
    low_20d_e6: extreme(twenty, 'low'),
    high_52w_e6: extreme(year, 'high'),
    low_52w_e6: extreme(year, 'low'),
  };
}

/** Those in front of a place that begin at `from` or later. */
function since(candles: readonly CandleFigures[], end: number, from: number): readonly CandleFigures[] {
  let at = end;
  while (at > 0 && candles[at - 1]!.start >= from) at -= 1;
  return candles.slice(at, end);
}

function extreme(candles: readonly CandleFigures[], of: 'high' | 'low'): bigint | null {
  let found: bigint | null = null;
  for (const { [of]: price } of candles)
    if (found === null || (of === 'high' ? price > found : price < found)) found = price;
  return found;
}

function pivotsOf({ high, low, close }: CandleFigures): Pick<Levels, (typeof PIVOTS)[number]> {
  const three = high + low + close;
  const third = (value: bigint) => halfUp(value, 3n);
  return {
    pivot_e6: third(three),
    resistance_1_e6: third(2n * three - 3n * low),
    support_1_e6: third(2n * three - 3n * high),
    resistance_2_e6: third(three + 3n * (high - low)),
    support_2_e6: third(three - 3n * (high - low)),
  };
}

/** The nearest integer to value / by, halves upwards; `by` is positive. */
function halfUp(value: bigint, by: bigint): bigint {
  const doubled = 2n * value + by;
  const rest = ((doubled % (2n * by)) + 2n * by) % (2n * by);
  return (doubled - rest) / (2n * by);
}
