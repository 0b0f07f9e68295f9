/** Records of prices.indicators for tests of what reads them, with the keys that the stage gives them. */
import type { SinkRecord } from '../../engine/sink.ts';
import type { TimedIndicators } from '../../pipelines/prices/codec/indicators.ts';
import { asOfKey, behindKey, candleKey } from '../../pipelines/prices/codec/indicators-key.ts';
import { INTERVALS, type Interval } from '../../pipelines/prices/intervals.ts';
import type { Indicators } from '../../schemas/prices/indicators.ts';
import { random } from './random.ts';

export interface SeriesPlace {
  readonly stock_id: bigint;
  readonly interval: Interval;
  readonly start: number;
}

export type IndicatorsOutput =
  | { readonly kind: 'upsert'; readonly key: Buffer; readonly value: TimedIndicators }
  | { readonly kind: 'tombstone'; readonly key: Buffer };

const DAY_MS = 86_400_000;
const LENGTH_MS: Readonly<Record<Interval, number>> = {
  ...{ '5m': DAY_MS / 288, '15m': DAY_MS / 96, '1h': DAY_MS / 24, '1d': DAY_MS, '1w': 7 * DAY_MS },
};

/** Prices are all `close`, and nothing has enough history, unless `more` says otherwise. */
export function indicatorsOf(at: SeriesPlace, close: bigint, more: Partial<Indicators> = {}): Indicators {
  return {
    ...at,
    symbol: `S${at.stock_id}`,
    end: at.start + LENGTH_MS[at.interval],
    ...{ open_e6: close, high_e6: close, low_e6: close, close_e6: close, volume: 3n, final: false },
    ...{ sma_20: null, sma_50: null, sma_200: null, ema_12: null, ema_26: null, rsi_14: null },
    ...{ macd: null, macd_signal: null, macd_histogram: null, bollinger_upper: null, bollinger_lower: null },
    ...{ atr_14: null, obv: 0n, volume_ratio: null, signals: [], avg_gain: null, avg_loss: null },
    ...{ previous_close_e6: null, previous_high_e6: null, previous_low_e6: null },
    ...{ high_20d_e6: null, low_20d_e6: null, high_52w_e6: null, low_52w_e6: null },
    ...more,
  };
}

export function indicatorsOutput(row: Indicators, timeMs: number): IndicatorsOutput {
  const key = candleKey(row.stock_id, row.interval as Interval, row.start);
  return { kind: 'upsert', key, value: { timeMs, body: { kind: 'Indicators', ...row } } };
}

export function indicatorsGone({ stock_id, interval, start }: SeriesPlace): IndicatorsOutput {
  return { kind: 'tombstone', key: candleKey(stock_id, interval, start) };
}

/** The series is behind from there; null: no more. */
export function seriesBehind(at: Omit<SeriesPlace, 'start'>, from: number | null, timeMs = 0): IndicatorsOutput {
  const key = behindKey(at.stock_id, at.interval);
  if (from === null) return { kind: 'tombstone', key };
  const { stock_id, interval } = at;
  return { kind: 'upsert', key, value: { timeMs, body: { kind: 'IndicatorsBehind', stock_id, interval, from } } };
}

export function indicatorsAsOf(partition: number, stream_time: number, source_lsn: bigint): IndicatorsOutput {
  const body = { kind: 'IndicatorsAsOf', partition, stream_time, source_lsn } as const;
  return { kind: 'upsert', key: asOfKey(partition), value: { timeMs: stream_time, body } };
}

export function indicatorsSinkRecord(output: IndicatorsOutput, offset: bigint): SinkRecord<TimedIndicators> {
  return { ...output, offset };
}

/** Few keys, so that most outputs replace or remove one of the outputs before. A second passes with each. */
export function randomIndicators(seed: number, length: number, startMs: number): readonly IndicatorsOutput[] {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  const number = () => (below(4) === 0 ? null : (next() - 0.3) * 10 ** below(7));
  const price = () => (below(4) === 0 ? null : BigInt(1 + below(1_000_000_000)) * 1_000_003n);
  return Array.from({ length }, (_, index): IndicatorsOutput => {
    const timeMs = startMs + index * 1_000;
    const kind = below(12);
    if (kind === 0) return indicatorsAsOf(3, timeMs, BigInt(1_000 + index));
    const interval = INTERVALS[below(INTERVALS.length)]!;
    const at = { stock_id: BigInt(1 + below(3)), interval, start: startMs + below(3) * 31 * DAY_MS };
    if (kind < 3) return seriesBehind(at, below(2) === 0 ? null : at.start, timeMs);
    if (kind < 5) return indicatorsGone(at);
    const row = indicatorsOf(at, BigInt(1 + below(1_000_000_000)) * 1_000_003n, {
      ...{ volume: BigInt(below(1_000)), final: below(2) === 0, obv: BigInt(below(1_000) - 500) },
      ...{ sma_20: number(), sma_50: number(), sma_200: number(), ema_12: number(), ema_26: number() },
      ...{ rsi_14: number(), macd: number(), macd_signal: number(), macd_histogram: number(), atr_14: number() },
      ...{ bollinger_upper: number(), bollinger_lower: number(), volume_ratio: number() },
      signals: ['golden_cross', 'rsi_overbought', 'unusual_volume'].filter(() => below(2) === 0),
      ...{ previous_close_e6: price(), previous_high_e6: price(), previous_low_e6: price() },
      ...{ high_20d_e6: price(), low_20d_e6: price(), high_52w_e6: price(), low_52w_e6: price() },
    });
    return indicatorsOutput(row, timeMs);
  });
}
