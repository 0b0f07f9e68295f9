/** How changes of stocks become rows of ClickHouse's `prices_stocks_log`: one for each version. */
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import { millisCell, NULL_CELL, nullableTextCell, textCell } from '../../connectors/clickhouse/tab-separated.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { RowChange } from '../capture/envelope.ts';
import { type PricesClickHouseOptions, type PricesTarget, pricesClickHouseSink } from './clickhouse-sink.ts';
import type { StockRow } from './codec/stock.ts';

/** What is needed of a change. */
export type StockChange = Pick<RowChange<StockRow>, 'op' | 'before' | 'after' | 'lsn' | 'commitTsMs'>;

/** In the order of `stockRows`. */
const STOCKS_COLUMNS = [
  'stock_id',
  'symbol',
  'name',
  'exchange',
  'sector',
  'industry',
  'market_cap',
  'active',
  'lsn',
  'commit_ts',
] as const;

/** The row of a change. Debezium's tombstone follows a deletion and says nothing new. */
function stockRows(record: SinkRecord<StockChange>, emit: EmitRow): void {
  if (record.kind === 'tombstone') return;
  const { op, before, after, lsn, commitTsMs } = record.value;
  const row = op === 'd' ? before : after;
  if (row === null) return;
  const named = `${row.id}\t${textCell(row.symbol)}\t${textCell(row.name)}\t${textCell(row.exchange)}`;
  const about = `${nullableTextCell(row.sector)}\t${nullableTextCell(row.industry)}\t${row.marketCap ?? NULL_CELL}`;
  emit(op === 'd' ? 1 : 0, `${named}\t${about}\t${row.active ? 1 : 0}\t${lsn ?? 0n}\t${millisCell(commitTsMs)}`);
}

/** Where records of `cdc.public.stocks` go. */
export const stocksTarget: PricesTarget<StockChange> = {
  table: 'prices_stocks_log',
  columns: STOCKS_COLUMNS,
  toRows: stockRows,
  // Nothing in the topic says how far the source has come.
  stampOf: () => null,
};

/** The sink of `cdc.public.stocks`. Errors as `clickHouseSink`. */
export function stocksClickHouseSink(options: PricesClickHouseOptions<StockChange>): Sink<StockChange> {
  return pricesClickHouseSink(options, stocksTarget);
}
