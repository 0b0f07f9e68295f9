/** The newest price of each stock in Redis: where they are, and what a record of their topics means for them. */

import type { RedisClientOptions } from '../../connectors/redis/client.ts';
import { type LatestOperation, latestSink, latestStampsKey } from '../../connectors/redis/latest.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { CandleRecord } from '../../schemas/prices/candle.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';
import { decimalText } from './codec/decimal-text.ts';

const MINUTE_MS = 60_000;
/** Whose figures are shown: the day's close is the newest price, and every correction of the day is in it. */
const DAY = '1d';

/** Where prices are, and what belongs to their sink. */
export const LATEST = {
  prefix: 'px:{prices}:latest:',
  control: 'px:{prices}:sink:latest',
  ttlMs: 5 * MINUTE_MS,
} as const;

/** The hash of its fences and stamps. */
export const LATEST_STAMPS = latestStampsKey(LATEST.control);

/** What a record of `prices.candles` means. */
export function mapCandle(
  keyOf: (key: Uint8Array) => CandleKey,
): (record: SinkRecord<CandleRecord>) => LatestOperation | null {
  return (record): LatestOperation | null => {
    if (record.kind === 'tombstone') {
      const { stock_id, interval, start } = keyOf(record.key);
      return interval === DAY ? { kind: 'gone', series: String(stock_id), time: start } : null;
    }
    const { body } = record.value;
    switch (body.kind) {
      case 'CandlesAsOf':
        return { kind: 'stamp', streamTimeMs: body.stream_time, fields: { source_lsn: body.source_lsn } };
      case 'Candle': {
        if (body.interval !== DAY) return null;
        return {
          kind: 'value',
          series: String(body.stock_id),
          time: body.start,
          name: body.symbol,
          momentMs: body.source_commit_ts,
          fields: () => ({
            stock_id: body.stock_id,
            price: decimalText(body.close_e6),
            open: decimalText(body.open_e6),
            high: decimalText(body.high_e6),
            low: decimalText(body.low_e6),
            volume: body.volume,
            vwap: body.vwap_e6 === null ? null : decimalText(body.vwap_e6),
            day_start: body.start,
            day_end: body.end,
            as_of: body.source_commit_ts,
            source_lsn: body.source_lsn,
          }),
        };
      }
      default:
        throw body satisfies never;
    }
  };
}

/** The sink of `prices.candles` that keeps the newest price of each stock. Errors as `latestSink`. */
export function latestPriceSink(options: {
  readonly name: string;
  readonly redis: RedisClientOptions;
  /** Decodes the key of a tombstone. */
  readonly keyOf: (key: Uint8Array) => CandleKey;
  readonly maxValuesPerCall?: number;
}): Sink<CandleRecord> {
  const { keyOf, ...rest } = options;
  return latestSink<CandleRecord>({ ...rest, ...LATEST, map: mapCandle(keyOf) });
}
