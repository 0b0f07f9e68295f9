/** The newest indicators of each stock and interval in Redis: where they are, and what a record of `prices.indicators` means for them. */
import type { RedisClientOptions } from '../../connectors/redis/client.ts';
import { type LatestOperation, latestSink, latestStampsKey } from '../../connectors/redis/latest.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { Indicators } from '../../schemas/prices/indicators.ts';
import type { TimedIndicators } from './codec/indicators.ts';
import { decodeIndicatorsKey } from './codec/indicators-key.ts';
import { pivotFields, priceText } from './redis-fields.ts';
import { isPeriod, pivotsOf } from './scanner/figures.ts';

const MINUTE_MS = 60_000;

/** Where indicators are, and what belongs to their sink. */
export const LATEST_INDICATORS = {
  prefix: 'px:{prices}:indicators:',
  control: 'px:{prices}:sink:indicators',
  ttlMs: 10 * MINUTE_MS,
} as const;

/** The hash of its fences and stamps. */
export const INDICATORS_STAMPS = latestStampsKey(LATEST_INDICATORS.control);

/** The rest of a key. The symbol comes last: it may hold anything. */
export function indicatorsName(interval: string, symbol: string): string {
  return `${interval}:${symbol}`;
}

/** Doubles, as they are. */
export const DOUBLES = [
  ...(['sma_20', 'sma_50', 'sma_200', 'ema_12', 'ema_26', 'rsi_14', 'macd', 'macd_signal', 'macd_histogram'] as const),
  ...(['bollinger_upper', 'bollinger_lower', 'atr_14', 'volume_ratio'] as const),
] as const satisfies readonly (keyof Indicators)[];

/** Prices, decimal text: of a field `name_e6` as `name`. */
const PRICES = [
  ...(['open', 'high', 'low', 'close', 'previous_close', 'previous_high', 'previous_low'] as const),
  ...(['high_20d', 'low_20d', 'high_52w', 'low_52w'] as const),
] as const;

type Fields = Record<string, string | number | bigint | null>;

function fieldsOf(row: Indicators, timeMs: number): Fields {
  const { stock_id, start, end, volume, final, obv, signals, interval } = row;
  const fields: Fields = {
    stock_id,
    start,
    end,
    volume,
    final: final ? 1 : 0,
    obv,
    signals: signals.join(),
    as_of: timeMs,
  };
  for (const name of DOUBLES) fields[name] = row[name];
  for (const name of PRICES) fields[name] = priceText(row[`${name}_e6`]);
  // Support and resistance are levels of a day or week.
  return isPeriod(interval) ? { ...fields, ...pivotFields(pivotsOf(row)) } : fields;
}

/** A series is a stock and interval, its time that of the candle. */
export function mapIndicators(record: SinkRecord<TimedIndicators>): LatestOperation | null {
  if (record.kind === 'tombstone') {
    const at = decodeIndicatorsKey(record.key);
    return at.kind === 'candle' ? { kind: 'gone', series: `${at.stockId}|${at.interval}`, time: at.start } : null;
  }
  const { body, timeMs } = record.value;
  switch (body.kind) {
    case 'IndicatorsAsOf':
      return { kind: 'stamp', streamTimeMs: body.stream_time, fields: { source_lsn: body.source_lsn } };
    case 'IndicatorsBehind':
      // The stamp stands still until nothing is behind.
      return null;
    case 'Indicators':
      return {
        kind: 'value',
        series: `${body.stock_id}|${body.interval}`,
        time: body.start,
        name: indicatorsName(body.interval, body.symbol),
        momentMs: timeMs,
        fields: () => fieldsOf(body, timeMs),
      };
    default:
      throw body satisfies never;
  }
}

/** The sink of `prices.indicators` that keeps the newest ones of each stock and interval. Errors as `latestSink`. */
export function latestIndicatorsSink(options: {
  readonly name: string;
  readonly redis: RedisClientOptions;
  /** 200: they have some 40 fields each. */
  readonly maxValuesPerCall?: number;
}): Sink<TimedIndicators> {
  return latestSink<TimedIndicators>({ maxValuesPerCall: 200, ...options, ...LATEST_INDICATORS, map: mapIndicators });
}
