/** How records of `prices.candles` become rows of ClickHouse's `prices_candles_log`: one for each version, stamps included. */
import type { Column, Value } from '../../connectors/clickhouse/native-block.ts';
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { Candle, CandleRecord, CandlesAsOf } from '../../schemas/prices/candle.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';
import { type PricesClickHouseOptions, type PricesTarget, pricesClickHouseSink } from './clickhouse-sink.ts';
import { bigintOf } from './codec/decimal.ts';

export const CANDLES_TABLE = 'prices_candles_log';
/** In the order of `candleValues`. */
const CANDLES_COLUMNS = [
  { name: 'stock_id', type: 'Int64' },
  { name: 'symbol', type: 'String' },
  { name: 'interval', type: 'String' },
  { name: 'start', type: 'DateTime64(3)' },
  { name: 'end', type: 'DateTime64(3)' },
  { name: 'open_e6', type: 'Int64' },
  { name: 'high_e6', type: 'Int64' },
  { name: 'low_e6', type: 'Int64' },
  { name: 'close_e6', type: 'Int64' },
  { name: 'volume', type: 'Int64' },
  { name: 'price_volume', type: 'Int256' },
  { name: 'vwap_e6', type: 'Nullable(Int64)' },
  { name: 'bars', type: 'UInt32' },
  { name: 'final', type: 'Int8' },
  { name: 'source', type: 'Nullable(String)' },
  { name: 'lsn', type: 'UInt64' },
  { name: 'xid', type: 'UInt64' },
  { name: 'commit_ts', type: 'DateTime64(3)' },
] as const satisfies readonly Column[];

type KeyOf = (key: Uint8Array) => CandleKey;

function candleValues(candle: Candle): readonly Value[] {
  return [
    candle.stock_id,
    candle.symbol,
    candle.interval,
    candle.start,
    candle.end,
    candle.open_e6,
    candle.high_e6,
    candle.low_e6,
    candle.close_e6,
    candle.volume,
    bigintOf(candle.price_volume),
    candle.vwap_e6,
    candle.bars,
    candle.final ? 1 : 0,
    candle.source,
    candle.source_lsn,
    candle.source_xid,
    candle.source_commit_ts,
  ];
}

/** A row of which only the key and the source's position are known. */
function bareValues({ stock_id, interval, start }: CandleKey, lsn: bigint, timeMs: number): readonly Value[] {
  return [stock_id, '', interval, start, start, 0, 0, 0, 0, 0, 0n, null, 0, 0, null, lsn, 0, timeMs];
}

/** The key of a partition's stamp. */
function stampKey({ partition }: CandlesAsOf): CandleKey {
  return { stock_id: BigInt(-1 - partition), interval: 'asof', start: 0 };
}

/** The rows of a record. */
export function candleRows(keyOf: KeyOf): (record: SinkRecord<CandleRecord>, emit: EmitRow) => void {
  return (record, emit) => {
    if (record.kind === 'tombstone') {
      emit(1, bareValues(keyOf(record.key), 0n, 0));
      return;
    }
    const { body } = record.value;
    switch (body.kind) {
      case 'Candle':
        emit(0, candleValues(body));
        return;
      case 'CandlesAsOf':
        emit(0, bareValues(stampKey(body), body.source_lsn, body.stream_time));
        return;
      default:
        throw body satisfies never;
    }
  };
}

/** Where records of `prices.candles` go. `keyOf` decodes the key of a tombstone. */
export function candlesTarget(keyOf: KeyOf): PricesTarget<CandleRecord> {
  return {
    table: CANDLES_TABLE,
    columns: CANDLES_COLUMNS,
    toRows: candleRows(keyOf),
    stampOf: ({ body }) => (body.kind === 'CandlesAsOf' ? body : null),
  };
}

/** The sink of `prices.candles`. Errors as `clickHouseSink`. */
export function candlesClickHouseSink({
  keyOf,
  ...options
}: PricesClickHouseOptions<CandleRecord> & { readonly keyOf: KeyOf }): Sink<CandleRecord> {
  return pricesClickHouseSink(options, candlesTarget(keyOf));
}
