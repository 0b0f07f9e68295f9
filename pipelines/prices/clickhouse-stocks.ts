/** How changes of stocks become rows of ClickHouse's `prices_stocks_log`: one for each version. */
import type { Column } from '../../connectors/clickhouse/native-block.ts';
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { RowChange } from '../capture/envelope.ts';
import { type PricesClickHouseOptions, type PricesTarget, pricesClickHouseSink } from './clickhouse-sink.ts';
import type { StockRow } from './codec/stock.ts';

/** What is needed of a change. */
export type StockChange = Pick<RowChange<StockRow>, 'op' | 'before' | 'after' | 'lsn' | 'commitTsMs'>;

/** In the order of `stockRows`. */
const STOCKS_COLUMNS = [
  { name: 'stock_id', type: 'Int64' },
  { name: 'symbol', type: 'String' },
  { name: 'name', type: 'String' },
  { name: 'exchange', type: 'String' },
  { name: 'sector', type: 'Nullable(String)' },
  { name: 'industry', type: 'Nullable(String)' },
  { name: 'market_cap', type: 'Nullable(Int64)' },
  { name: 'active', type: 'Int8' },
  { name: 'lsn', type: 'UInt64' },
  { name: 'commit_ts', type: 'DateTime64(3)' },
] as const satisfies readonly Column[];

/** The row of a change. Debezium's tombstone follows a deletion and says nothing new. */
function stockRows(record: SinkRecord<StockChange>, emit: EmitRow): void {
  if (record.kind === 'tombstone') return;
  const { op, before, after, lsn, commitTsMs } = record.value;
  const row = op === 'd' ? before : after;
  if (row === null) return;
  const { id, symbol, name, exchange, sector, industry, marketCap, active } = row;
  const about = [id, symbol, name, exchange, sector, industry, marketCap, active ? 1 : 0];
  emit(op === 'd' ? 1 : 0, [...about, lsn ?? 0, commitTsMs]);
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
