/**
 * The indicators of one stock and interval, candle by candle.
 *
 * Invariant: a row is a function of the candles up to its own, whatever way it was come by: appended, the last candle replaced as
 * it grew, or gone on from stored rows. What depends on all of the past is in the row before; all else in the last `windowOf` rows.
 */
import { BollingerBands, getTrueRange, SMA } from 'trading-signals';
import type { Indicators } from '../../../schemas/prices/indicators.ts';
import type { Interval } from '../intervals.ts';
import { Exponential, Wilder } from './calculators.ts';
import { Preceding } from './preceding.ts';
import { signalsOf } from './signals.ts';

/** What a candle says. */
export type SeriesCandle = Pick<
  Indicators,
  'symbol' | 'start' | 'end' | 'open_e6' | 'high_e6' | 'low_e6' | 'close_e6' | 'volume' | 'final'
>;

export interface SeriesId {
  readonly stock_id: bigint;
  readonly interval: Interval;
}

/** Rows in front of a candle that its own may depend on: SMA 200, and for days the 52 weeks, also without weekends. */
export function windowOf(interval: Interval): number {
  return interval === '1d' ? 366 : 200;
}

/** Candles until the first macd, and from there until its signal. */
const MACD_AFTER = 26;
const MACD_SIGNAL_AFTER = 34;

export class Series {
  readonly #id: SeriesId;
  readonly #sma50 = new SMA(50);
  readonly #sma200 = new SMA(200);
  readonly #ema12 = new Exponential(12);
  readonly #ema26 = new Exponential(26);
  readonly #macdSignal = new Exponential(9);
  readonly #bollinger = new BollingerBands(20, 2);
  readonly #gain = new Wilder(14);
  readonly #loss = new Wilder(14);
  readonly #range = new Wilder(14);
  readonly #preceding: Preceding;
  /** Candles so far; where stored rows were gone on from, the number of those. */
  #count = 0;
  #before: Indicators | null = null;
  #last: Indicators | null = null;

  constructor(id: SeriesId) {
    this.#id = id;
    this.#preceding = new Preceding(id.interval);
  }

  /**
   * Goes on behind stored rows, the oldest first: all of a series, or the last `windowOf`. What comes next is `add`, never
   * `replace`.
   */
  static behind(id: SeriesId, rows: readonly Indicators[]): Series {
    const series = new Series(id);
    const last = rows.at(-1);
    if (rows.length < windowOf(id.interval) || last === undefined || !series.#resume(last)) {
      for (const row of rows) series.add(row);
      return series;
    }
    for (const row of rows) {
      if (series.#last !== null) series.#preceding.push(series.#last);
      const close = price(row.close_e6);
      for (const window of [series.#sma50, series.#sma200, series.#bollinger]) window.add(close);
      series.#before = series.#last;
      series.#last = row;
    }
    series.#count = rows.length;
    return series;
  }

  /** The newest row. */
  get last(): Indicators | null {
    return this.#last;
  }

  /** The next candle. */
  add(candle: SeriesCandle): Indicators {
    if (this.#last !== null) this.#preceding.push(this.#last);
    this.#before = this.#last;
    this.#count++;
    return this.#compute(candle, false);
  }

  /** The last candle again, as it is now. */
  replace(candle: SeriesCandle): Indicators {
    return this.#compute(candle, true);
  }

  /** False when the row has no values yet: it was inserted, or is among the first. */
  #resume({ ema_12, ema_26, macd_signal, avg_gain, avg_loss, atr_14 }: Indicators): boolean {
    const values = [ema_12, ema_26, macd_signal, avg_gain, avg_loss, atr_14];
    const averages = [this.#ema12, this.#ema26, this.#macdSignal, this.#gain, this.#loss, this.#range];
    if (values.includes(null)) return false;
    for (const [index, average] of averages.entries()) average.resume(values[index]!);
    return true;
  }

  #compute(candle: SeriesCandle, replace: boolean): Indicators {
    const before = this.#before;
    const close = price(candle.close_e6);
    const bands = this.#bollinger.update(close, replace);
    const { ema_12, ema_26, macd, macd_signal, macd_histogram } = this.#exponentials(close, replace);
    const { rsi_14, avg_gain, avg_loss } = this.#strength(close, replace);
    const sma_50 = this.#sma50.update(close, replace);
    const sma_200 = this.#sma200.update(close, replace);
    const bollinger_upper = bands?.upper ?? null;
    const bollinger_lower = bands?.lower ?? null;
    const volume_ratio = this.#preceding.volumeRatio(candle.volume);
    const shown = { sma_50, sma_200, rsi_14, macd_histogram, bollinger_upper, bollinger_lower, volume_ratio, close };
    const days = this.#preceding.days();
    const year = this.#preceding.year(candle.start);
    // Field by field: rows are made by the million, and a spread of several objects costs more than all of them.
    this.#last = {
      stock_id: this.#id.stock_id,
      symbol: candle.symbol,
      interval: this.#id.interval,
      start: candle.start,
      end: candle.end,
      close_e6: candle.close_e6,
      volume: candle.volume,
      final: candle.final,
      open_e6: candle.open_e6,
      high_e6: candle.high_e6,
      low_e6: candle.low_e6,
      // The middle of the bands.
      sma_20: bands?.middle ?? null,
      sma_50,
      sma_200,
      ema_12,
      ema_26,
      rsi_14,
      macd,
      macd_signal,
      macd_histogram,
      bollinger_upper,
      bollinger_lower,
      atr_14: this.#range.update(this.#trueRange(candle, close), replace),
      obv: onBalance(before, candle),
      volume_ratio,
      signals: signalsOf(shown, before),
      previous_close_e6: before?.close_e6 ?? null,
      previous_high_e6: before?.high_e6 ?? null,
      previous_low_e6: before?.low_e6 ?? null,
      high_20d_e6: days?.high ?? null,
      low_20d_e6: days?.low ?? null,
      high_52w_e6: year?.high ?? null,
      low_52w_e6: year?.low ?? null,
      avg_gain,
      avg_loss,
    };
    return this.#last;
  }

  #exponentials(close: number, replace: boolean) {
    const fast = this.#ema12.update(close, replace);
    const slow = this.#ema26.update(close, replace);
    const count = this.#count;
    const macd = count >= MACD_AFTER ? fast - slow : null;
    const smoothed = macd === null ? null : this.#macdSignal.update(macd, replace);
    const macd_signal = count >= MACD_SIGNAL_AFTER ? smoothed : null;
    return {
      ema_12: count >= 12 ? fast : null,
      ema_26: count >= 26 ? slow : null,
      macd,
      macd_signal,
      macd_histogram: macd === null || macd_signal === null ? null : macd - macd_signal,
    };
  }

  /** Neither gain nor loss in all that is remembered: not defined. */
  #strength(close: number, replace: boolean) {
    if (this.#before !== null) {
      const change = close - price(this.#before.close_e6);
      this.#gain.update(Math.max(change, 0), replace);
      this.#loss.update(Math.max(-change, 0), replace);
    }
    const [gain, loss] = [this.#gain.value, this.#loss.value];
    const defined = gain !== null && loss !== null && gain + loss > 0;
    return { rsi_14: defined ? 100 - 100 / (1 + gain / loss) : null, avg_gain: gain, avg_loss: loss };
  }

  #trueRange({ high_e6, low_e6, open_e6 }: SeriesCandle, close: number): number {
    const candle = { open: price(open_e6), high: price(high_e6), low: price(low_e6), close };
    return getTrueRange(candle, this.#before === null ? undefined : price(this.#before.close_e6));
  }
}

/** Decimals end here: indicators are doubles. */
function price(e6: bigint): number {
  return Number(e6) / 1e6;
}

function onBalance(before: Indicators | null, { close_e6, volume }: SeriesCandle): bigint {
  if (before === null) return 0n;
  if (close_e6 === before.close_e6) return before.obv;
  // Of 64 bits, as its field is: no stock's volume can end the stage.
  return BigInt.asIntN(64, close_e6 > before.close_e6 ? before.obv + volume : before.obv - volume);
}
