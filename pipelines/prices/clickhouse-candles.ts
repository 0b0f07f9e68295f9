/** How records of `prices.candles` become rows of ClickHouse's `prices_candles_log`: one for each version, stamps included. */
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import { millisCell, NULL_CELL, nullableTextCell, textCell } from '../../connectors/clickhouse/tab-separated.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { Candle, CandleRecord, CandlesAsOf } from '../../schemas/prices/candle.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';
import { type PricesClickHouseOptions, type PricesTarget, pricesClickHouseSink } from './clickhouse-sink.ts';
import { bigintOf } from './codec/decimal.ts';

export const CANDLES_TABLE = 'prices_candles_log';
/** In the order of `candleCells`. */
const CANDLES_COLUMNS = [
  'stock_id',
  'symbol',
  'interval',
  'start',
  'end',
  'open_e6',
  'high_e6',
  'low_e6',
  'close_e6',
  'volume',
  'price_volume',
  'vwap_e6',
  'bars',
  'final',
  'source',
  'lsn',
  'xid',
  'commit_ts',
] as const;

type KeyOf = (key: Uint8Array) => CandleKey;

function candleCells(candle: Candle): string {
  const { stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, vwap_e6 } = candle;
  const prices = `${open_e6}\t${high_e6}\t${low_e6}\t${close_e6}\t${volume}\t${bigintOf(candle.price_volume)}`;
  const about = `${vwap_e6 ?? NULL_CELL}\t${candle.bars}\t${candle.final ? 1 : 0}\t${nullableTextCell(candle.source)}`;
  return `${stock_id}\t${textCell(symbol)}\t${interval}\t${millisCell(start)}\t${millisCell(end)}\t${prices}\t${about}\t${
    candle.source_lsn
  }\t${candle.source_xid}\t${millisCell(candle.source_commit_ts)}`;
}

/** A row of which only the key and the source's position are known. */
function bareCells({ stock_id, interval, start }: CandleKey, lsn: bigint, timeMs: number): string {
  const at = millisCell(start);
  return `${stock_id}\t\t${interval}\t${at}\t${at}\t0\t0\t0\t0\t0\t0\t${NULL_CELL}\t0\t0\t${NULL_CELL}\t${lsn}\t0\t${millisCell(timeMs)}`;
}

/** The key of a partition's stamp. */
function stampKey({ partition }: CandlesAsOf): CandleKey {
  return { stock_id: BigInt(-1 - partition), interval: 'asof', start: 0 };
}

/** The rows of a record. */
export function candleRows(keyOf: KeyOf): (record: SinkRecord<CandleRecord>, emit: EmitRow) => void {
  return (record, emit) => {
    if (record.kind === 'tombstone') {
      emit(1, bareCells(keyOf(record.key), 0n, 0));
      return;
    }
    const { body } = record.value;
    switch (body.kind) {
      case 'Candle':
        emit(0, candleCells(body));
        return;
      case 'CandlesAsOf':
        emit(0, bareCells(stampKey(body), body.source_lsn, body.stream_time));
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
