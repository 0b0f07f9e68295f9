/**
 * Indicators and signals from their definitions (docs/prices-indicators.md), each series in one pass from its first candle. No library, and nothing of
 * the pipeline: recursive means are written out, windows are summed anew for each candle.
 */
import { type Levels, levelsOf } from './levels.ts';
import type { CandleFigures, CandleKind } from './source.ts';

/** Doubles. */
export const INDICATOR_NAMES = [
  ...(['sma_20', 'sma_50', 'sma_200', 'ema_12', 'ema_26', 'rsi_14', 'macd', 'macd_signal', 'macd_histogram'] as const),
  ...(['bollinger_upper', 'bollinger_lower', 'atr_14', 'volume_ratio'] as const),
] as const;
export type IndicatorName = (typeof INDICATOR_NAMES)[number];

/** Null without enough history. */
export type Expected = Readonly<Record<IndicatorName, number | null>>;

export interface ExpectedRow {
  readonly candle: CandleFigures;
  readonly values: Expected;
  /** Of 64 bits. */
  readonly obv: bigint;
  readonly levels: Levels;
  /** What must hold, and what is so near its threshold that it may. */
  readonly signals: { readonly certain: readonly string[]; readonly possible: readonly string[] };
  /** Neither gain nor loss is left: a ratio of what rounding left over. */
  readonly strengthIsNoise: boolean;
}

/** As near as two ways of computing come to each other. */
export const TOLERANCE = 1e-6;
const NOTHING_LEFT = 1e-9;

/** The mean of the last `count` values up to `end` (exclusive); null without so many. */
function meanOf(values: readonly number[], end: number, count: number): number | null {
  if (end < count) return null;
  let sum = 0;
  for (let at = end - count; at < end; at += 1) sum += values[at]!;
  return sum / count;
}

/** Standard deviation of the population of the last `count` values. */
function deviationOf(values: readonly number[], end: number, count: number, mean: number): number {
  let sum = 0;
  for (let at = end - count; at < end; at += 1) sum += (values[at]! - mean) ** 2;
  return Math.sqrt(sum / count);
}

/** A mean that takes up a share of each new value: begun at the first value, or with the plain mean of the first `plain`. */
class Recursive {
  readonly #share: number;
  readonly #plain: number;
  #sum = 0;
  #count = 0;
  value: number | null = null;

  constructor(share: number, plain: number) {
    this.#share = share;
    this.#plain = plain;
  }

  add(value: number): number | null {
    this.#count += 1;
    if (this.#count <= this.#plain) {
      this.#sum += value;
      this.value = this.#count === this.#plain ? this.#sum / this.#plain : null;
    } else this.value = value * this.#share + this.value! * (1 - this.#share);
    return this.value;
  }
}

const exponential = (period: number): Recursive => new Recursive(2 / (period + 1), 1);
const wilder = (period: number): Recursive => new Recursive(1 / period, period);

/** One row for each candle, which are in the order of time; one at a time, since a row is many times its candle. */
export function* expectedRows(kind: CandleKind, candles: readonly CandleFigures[]): Generator<ExpectedRow> {
  const closes = candles.map(({ close }) => Number(close) / 1e6);
  const volumes = candles.map(({ volume }) => Number(volume));
  const [fast, slow, signal] = [exponential(12), exponential(26), exponential(9)];
  const [gain, loss, range] = [wilder(14), wilder(14), wilder(14)];
  let previous: Expected | null = null;
  let obv = 0n;
  for (const [at, candle] of candles.entries()) {
    const before = candles[at - 1];
    const close = closes[at]!;
    const [fastMean, slowMean] = [fast.add(close)!, slow.add(close)!];
    const macd = at >= 25 ? fastMean - slowMean : null;
    const signalMean = macd === null ? null : signal.add(macd);
    const trigger = at >= 33 ? signalMean : null;
    range.add(trueRange(candle, before));
    if (before !== undefined) {
      const change = close - closes[at - 1]!;
      gain.add(Math.max(change, 0));
      loss.add(Math.max(-change, 0));
      const sign = candle.close === before.close ? 0n : candle.close > before.close ? 1n : -1n;
      obv = BigInt.asIntN(64, obv + sign * candle.volume);
    }
    const middle = meanOf(closes, at + 1, 20);
    const deviation = middle === null ? null : deviationOf(closes, at + 1, 20, middle);
    const usual = meanOf(volumes, at, 20);
    const movement = gain.value === null ? null : gain.value + loss.value!;
    const values: Expected = {
      sma_20: middle,
      sma_50: meanOf(closes, at + 1, 50),
      sma_200: meanOf(closes, at + 1, 200),
      ema_12: at >= 11 ? fastMean : null,
      ema_26: at >= 25 ? slowMean : null,
      rsi_14: movement === null || movement === 0 ? null : (100 * gain.value!) / movement,
      macd,
      macd_signal: trigger,
      macd_histogram: trigger === null ? null : macd! - trigger,
      bollinger_upper: middle === null ? null : middle + 2 * deviation!,
      bollinger_lower: middle === null ? null : middle - 2 * deviation!,
      atr_14: range.value,
      volume_ratio: usual === null || usual === 0 ? null : volumes[at]! / usual,
    };
    const strengthIsNoise = movement !== null && movement < NOTHING_LEFT;
    const signals = signalsOf(values, previous, close, strengthIsNoise);
    yield { candle, values, obv, levels: levelsOf(kind, candles, at), signals, strengthIsNoise };
    previous = values;
  }
}

function trueRange({ high, low }: CandleFigures, before: CandleFigures | undefined): number {
  const [top, bottom] = [Number(high) / 1e6, Number(low) / 1e6];
  if (before === undefined) return top - bottom;
  const close = Number(before.close) / 1e6;
  return Math.max(top, close) - Math.min(bottom, close);
}

/** 1 above, −1 below, 0 the same; null where the two are too near to tell, or one is not known. */
type Side = 1 | 0 | -1 | null;

function sides(a: number | null, b: number | null, scale: number): readonly Side[] {
  if (a === null || b === null) return [null];
  if (Math.abs(a - b) <= TOLERANCE * Math.max(1, scale)) return [-1, 0, 1];
  return [a > b ? 1 : -1];
}

function signalsOf(
  values: Expected,
  before: Expected | null,
  close: number,
  strengthIsNoise: boolean,
): ExpectedRow['signals'] {
  const { rsi_14: rsi, volume_ratio: ratio, bollinger_upper: upper, bollinger_lower: lower } = values;
  const strength = strengthIsNoise ? ([null, -1, 0, 1] as const) : null;
  const histogram = [sides(before?.macd_histogram ?? null, 0, close), sides(values.macd_histogram, 0, close)] as const;
  const averages = [
    sides(before?.sma_50 ?? null, before?.sma_200 ?? null, close),
    sides(values.sma_50, values.sma_200, close),
  ] as const;
  const holds: Readonly<Record<string, readonly boolean[]>> = {
    bollinger_break_down: sides(close, lower, close).map((side) => side === -1),
    bollinger_break_up: sides(close, upper, close).map((side) => side === 1),
    death_cross: crosses(averages, -1),
    golden_cross: crosses(averages, 1),
    macd_cross_down: crosses(histogram, -1),
    macd_cross_up: crosses(histogram, 1),
    rsi_overbought: (strength ?? sides(rsi, 70, 100)).map((side) => side === 1),
    rsi_oversold: (strength ?? sides(rsi, 30, 100)).map((side) => side === -1),
    unusual_volume: sides(ratio, 2, 1).map((side) => side === 1 || side === 0),
  };
  const names = Object.keys(holds);
  return {
    certain: names.filter((name) => holds[name]!.every(Boolean)),
    possible: names.filter((name) => holds[name]!.some(Boolean)),
  };
}

/** Whether one side is left for the other; with every way in which the sides may be meant. */
function crosses([before, now]: readonly [readonly Side[], readonly Side[]], to: 1 | -1): readonly boolean[] {
  return before.flatMap((was) => now.map((is) => was !== null && was !== to && is === to));
}
