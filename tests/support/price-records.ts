/** Records of prices.candles for tests of what reads them. Keys are JSON: what a key looks like is not the sinks' business. */
import type { SinkRecord } from '../../engine/sink.ts';
import { bytesOf } from '../../pipelines/prices/codec/decimal.ts';
import type { Candle, CandleRecord, CandlesAsOf } from '../../schemas/prices/candle.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';

export type CandleBody = CandleRecord['body'];
export type CandleOutput =
  | { readonly kind: 'upsert'; readonly body: CandleBody }
  | { readonly kind: 'tombstone'; readonly key: CandleKey };

const MINUTE_MS = 60_000;
const LENGTH_MS: Readonly<Record<string, number>> = {
  bar: MINUTE_MS,
  '5m': 5 * MINUTE_MS,
  '15m': 15 * MINUTE_MS,
  '1h': 60 * MINUTE_MS,
  '1d': 1_440 * MINUTE_MS,
  '1w': 7 * 1_440 * MINUTE_MS,
};

/** A candle whose prices are all `close` and whose volume is 3, unless `more` says otherwise. */
export function candle(
  key: Pick<Candle, 'stock_id' | 'interval' | 'start'>,
  close: bigint,
  more: Partial<Candle> = {},
): CandleOutput {
  const body: Candle & { readonly kind: 'Candle' } = {
    kind: 'Candle',
    ...key,
    symbol: `S${key.stock_id}`,
    end: key.start + LENGTH_MS[key.interval]!,
    ...{ open_e6: close, high_e6: close, low_e6: close, close_e6: close },
    volume: 3n,
    price_volume: bytesOf(9n * close),
    vwap_e6: close,
    bars: 1,
    final: false,
    source: key.interval === 'bar' ? 'minute' : null,
    source_lsn: 100n,
    source_xid: 7n,
    source_commit_ts: 1_770_000_000_000,
    ...more,
  };
  return { kind: 'upsert', body };
}

export function candleGone(key: CandleKey): CandleOutput {
  return { kind: 'tombstone', key };
}

export function candlesAsOf(stamp: CandlesAsOf): CandleOutput {
  return { kind: 'upsert', body: { kind: 'CandlesAsOf', ...stamp } };
}

export function keyOf(bytes: Uint8Array): CandleKey {
  const [stock, interval, start] = JSON.parse(Buffer.from(bytes).toString()) as [string, string, number];
  return { stock_id: BigInt(stock), interval, start };
}

function keyBytes({ stock_id, interval, start }: CandleKey): Buffer {
  return Buffer.from(JSON.stringify([String(stock_id), interval, start]));
}

/** The key that the stage gives to an output. */
export function candleKey(output: CandleOutput): CandleKey {
  if (output.kind === 'tombstone') return output.key;
  const { body } = output;
  return body.kind === 'Candle' ? body : { stock_id: BigInt(-1 - body.partition), interval: 'asof', start: 0 };
}

export function candleSinkRecord(output: CandleOutput, offset: bigint): SinkRecord<CandleRecord> {
  const key = keyBytes(candleKey(output));
  return output.kind === 'upsert'
    ? { kind: 'upsert', offset, key, value: { body: output.body } }
    : { kind: 'tombstone', offset, key };
}
