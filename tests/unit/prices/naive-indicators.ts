/** Indicators from their definitions, each candle from the whole series: slow and plain, and without the library. */
import type { SeriesCandle } from '../../../pipelines/prices/indicators/series.ts';

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** The last `count` of the first `n` values; null when there are fewer. */
function lastOf(values: readonly number[], n: number, count: number): readonly number[] | null {
  return n < count ? null : values.slice(n - count, n);
}

const meanOf = (values: readonly number[], n: number, count: number) => {
  const last = lastOf(values, n, count);
  return last === null ? null : mean(last);
};

/** All values of an exponential mean that begins at the first one. */
function exponential(values: readonly number[], period: number): number[] {
  const weight = 2 / (period + 1);
  const results: number[] = [];
  for (const value of values)
    results.push(results.length === 0 ? value : weight * value + (1 - weight) * results.at(-1)!);
  return results;
}

/** Wilder: the mean of the first `period` values, then a `period`-th of each following one. */
function wilder(values: readonly number[], period: number): number | null {
  if (values.length < period) return null;
  return values
    .slice(period)
    .reduce((sum, value) => (sum * (period - 1) + value) / period, mean(values.slice(0, period)));
}

function relativeStrength(closes: readonly number[]): number | null {
  const changes = closes.slice(1).map((close, index) => close - closes[index]!);
  const gain = wilder(
    changes.map((change) => Math.max(0, change)),
    14,
  );
  const loss = wilder(
    changes.map((change) => Math.max(0, -change)),
    14,
  );
  if (gain === null || loss === null || gain + loss === 0) return null;
  return (100 * gain) / (gain + loss);
}

function bands(closes: readonly number[]): { readonly upper: number | null; readonly lower: number | null } {
  const last = lastOf(closes, closes.length, 20);
  if (last === null) return { upper: null, lower: null };
  const middle = mean(last);
  const deviation = Math.sqrt(mean(last.map((close) => (close - middle) ** 2)));
  return { upper: middle + 2 * deviation, lower: middle - 2 * deviation };
}

/** What the last of these candles has. */
export function naiveIndicators(candles: readonly SeriesCandle[], interval: string) {
  const n = candles.length;
  const closes = candles.map(({ close_e6 }) => Number(close_e6) / 1e6);
  const [high, low] = [candles.map((c) => Number(c.high_e6) / 1e6), candles.map((c) => Number(c.low_e6) / 1e6)];
  const ranges = candles.map((_, i) =>
    i === 0
      ? high[0]! - low[0]!
      : Math.max(high[i]! - low[i]!, Math.abs(high[i]! - closes[i - 1]!), Math.abs(low[i]! - closes[i - 1]!)),
  );
  const [fast, slow] = [exponential(closes, 12), exponential(closes, 26)];
  const lines = closes.map((_, i) => fast[i]! - slow[i]!).slice(25);
  const signal = lines.length >= 9 ? exponential(lines, 9).at(-1)! : null;
  const macd = lines.at(-1) ?? null;
  const usual = meanOf(
    candles.map(({ volume }) => Number(volume)),
    n - 1,
    20,
  );
  const { upper, lower } = bands(closes);
  return {
    sma_20: meanOf(closes, n, 20),
    sma_50: meanOf(closes, n, 50),
    sma_200: meanOf(closes, n, 200),
    ema_12: n >= 12 ? fast.at(-1)! : null,
    ema_26: n >= 26 ? slow.at(-1)! : null,
    rsi_14: relativeStrength(closes),
    macd,
    macd_signal: signal,
    macd_histogram: macd === null || signal === null ? null : macd - signal,
    bollinger_upper: upper,
    bollinger_lower: lower,
    atr_14: wilder(ranges, 14),
    obv: onBalance(candles),
    volume_ratio: usual === null || usual === 0 ? null : Number(candles.at(-1)!.volume) / usual,
    ...levels(candles, interval),
  };
}

function onBalance(candles: readonly SeriesCandle[]): bigint {
  return candles.reduce((sum, { close_e6, volume }, i) => {
    const before = candles[i - 1]?.close_e6 ?? close_e6;
    return close_e6 > before ? sum + volume : close_e6 < before ? sum - volume : sum;
  }, 0n);
}

const DAY = 86_400_000;

function levels(candles: readonly SeriesCandle[], interval: string) {
  const last = candles.at(-1)!;
  const earlier = candles.slice(0, -1);
  const before = earlier.at(-1);
  const count = interval === '1d' ? 20 : interval === '1w' ? 4 : Number.POSITIVE_INFINITY;
  const days = earlier.length >= count ? earlier.slice(-count) : [];
  const reaches = Number.isFinite(count) && earlier.some(({ start }) => start <= last.start - 363.5 * DAY);
  const year = reaches ? earlier.filter(({ start }) => start >= last.start - 364.5 * DAY) : [];
  const highest = (of: readonly SeriesCandle[]) =>
    of.reduce<bigint | null>((a, c) => (a === null || c.high_e6 > a ? c.high_e6 : a), null);
  const lowest = (of: readonly SeriesCandle[]) =>
    of.reduce<bigint | null>((a, c) => (a === null || c.low_e6 < a ? c.low_e6 : a), null);
  return {
    previous_close_e6: before?.close_e6 ?? null,
    previous_high_e6: before?.high_e6 ?? null,
    previous_low_e6: before?.low_e6 ?? null,
    high_20d_e6: highest(days),
    low_20d_e6: lowest(days),
    high_52w_e6: highest(year),
    low_52w_e6: lowest(year),
  };
}
