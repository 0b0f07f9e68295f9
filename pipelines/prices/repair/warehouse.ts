/** Rows that ClickHouse alone has wrong: fed again from the topics, which hold absolute values. */
import type { ClickHouseClient } from '@clickhouse/client';
import { asideLogRows, dropAside, refeedRows } from '../../../connectors/clickhouse/refeed.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { PRICES_WAREHOUSES } from '../replay/warehouses.ts';
import { CANDLES_SINK, INDICATORS_CLICKHOUSE_SINK } from '../topics.ts';
import { newestRecords } from './newest-records.ts';
import { keyedCandles, keyedIndicators } from './topics.ts';

const TABLES = {
  candles: { sink: CANDLES_SINK, keyed: keyedCandles, store: (grain: string) => `prices_candles_${grain}_store` },
  indicators: {
    sink: INDICATORS_CLICKHOUSE_SINK,
    keyed: keyedIndicators,
    store: (grain: string) => `prices_indicators_${grain}_store`,
  },
} as const;

const GRAINS: Readonly<Record<string, string>> = {
  '5m': 'minute',
  '15m': 'minute',
  '1h': 'hour',
  '1d': 'day',
  '1w': 'day',
};
const BARS_STORE = 'prices_bars_store';

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
  const { sink, keyed, store } = TABLES[which];
  const { tables, columns, prepare, row } = PRICES_WAREHOUSES[sink](schemas);
  const byStore = Map.groupBy(names, (name) => {
    const grain = GRAINS[name.slice(0, name.indexOf(' '))];
    return grain === undefined ? BARS_STORE : store(grain);
  });
  const source = async (): Promise<string> => {
    const { records } = await newestRecords(log, keyed(schemas), new Set(names));
    const newest = [...records.values()];
    await prepare(newest.map(({ record }) => record));
    const rows = newest.flatMap(({ record, partition }) => row(record, partition) ?? []);
    return await asideLogRows(client, { log: tables.log, columns, rows });
  };
  try {
    const stores = [...byStore].map(([name, of]) => ({ store: name, rows: rowsSql(name, of) }));
    await refeedRows(client, { log: tables.log, stores, source });
  } finally {
    await dropAside(client, tables.log);
  }
}

/** Bars have a table of their own, without the interval; the view that feeds it knows. */
function rowsSql(store: string, names: readonly string[]): string {
  const start = 'toUnixTimestamp64Milli(start)';
  const [columns, tuples] =
    store === BARS_STORE
      ? [`stock_id, ${start}`, names.map((name) => name.split(' ').slice(1).join(', '))]
      : [`stock_id, interval, ${start}`, names.map(tupleOf)];
  return `(${columns}) IN (${tuples.map((one) => `(${one})`).join(', ')})`;
}

function tupleOf(name: string): string {
  const [kind, stock, start] = name.split(' ');
  return `${stock}, '${kind}', ${start}`;
}
