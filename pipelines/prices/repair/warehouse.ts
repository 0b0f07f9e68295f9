/** Rows that ClickHouse alone has wrong: fed again from the topics, which hold absolute values. */
import type { ClickHouseClient } from '@clickhouse/client';
import { asideLogRows, dropAside, refeedRows } from '../../../connectors/clickhouse/refeed.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { CANDLE_STORES } from '../reconcile/warehouse.ts';
import { INDICATOR_STORES } from '../reconcile/warehouse-indicators.ts';
import { PRICES_WAREHOUSES } from '../replay/warehouses.ts';
import { CANDLES_SINK, INDICATORS_CLICKHOUSE_SINK } from '../topics.ts';
import { type KeyedTopic, newestRecords } from './newest-records.ts';
import { keyedCandles, keyedIndicators } from './topics.ts';

interface Fed {
  readonly sink: keyof typeof PRICES_WAREHOUSES;
  readonly keyed: (schemas: SchemaSource) => KeyedTopic;
  /** By kind. */
  readonly stores: Readonly<Record<string, string>>;
}

const TABLES: Readonly<Record<'candles' | 'indicators', Fed>> = {
  candles: { sink: CANDLES_SINK, keyed: keyedCandles, stores: CANDLE_STORES },
  indicators: { sink: INDICATORS_CLICKHOUSE_SINK, keyed: keyedIndicators, stores: INDICATOR_STORES },
};

export interface WarehouseRepair {
  readonly client: ClickHouseClient;
  readonly log: LogClient;
  readonly schemas: SchemaSource;
}

/**
 * Makes rows (`kind stock start`) what their topic says. Harmless when repeated, as long as it is alone (`exclusively`), and while the sink writes: what it
 * had written when the rows were looked at is in the topic when that is read.
 */
export async function feedAgain(
  { client, log, schemas }: WarehouseRepair,
  which: keyof typeof TABLES,
  names: readonly string[],
): Promise<void> {
  if (names.length === 0) return;
  const { sink, keyed, stores } = TABLES[which];
  const { tables, columns, prepare, row } = PRICES_WAREHOUSES[sink](schemas);
  const byStore = Map.groupBy(names, (name) => stores[name.slice(0, name.indexOf(' '))]!);
  const source = async (): Promise<string> => {
    const { records } = await newestRecords(log, keyed(schemas), new Set(names));
    const newest = [...records.values()];
    await prepare(newest.map(({ record }) => record));
    const rows = newest.flatMap(({ record, partition }) => row(record, partition) ?? []);
    return await asideLogRows(client, { log: tables.log, columns, rows });
  };
  try {
    const parts = [...byStore].map(([store, of]) => ({ store, rows: rowsSql(store, of) }));
    await refeedRows(client, { log: tables.log, stores: parts, source });
  } finally {
    await dropAside(client, tables.log);
  }
}

/** Bars have a table of their own, without the interval; the view that feeds it knows. */
function rowsSql(store: string, names: readonly string[]): string {
  const start = 'toUnixTimestamp64Milli(start)';
  const [columns, tuples] =
    store === CANDLE_STORES.bar
      ? [`stock_id, ${start}`, names.map((name) => name.split(' ').slice(1).join(', '))]
      : [`stock_id, interval, ${start}`, names.map(tupleOf)];
  return `(${columns}) IN (${tuples.map((one) => `(${one})`).join(', ')})`;
}

function tupleOf(name: string): string {
  const [kind, stock, start] = name.split(' ');
  return `${stock}, '${kind}', ${start}`;
}
