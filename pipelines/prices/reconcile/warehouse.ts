/** Bars and candles as ClickHouse shows them. */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import { CANDLES, CANDLES_SINK } from '../topics.ts';
import type { Kind, Row, StockSum } from './source.ts';

const STORES: Readonly<Record<Kind, string>> = {
  bar: 'prices_bars_store',
  '5m': 'prices_candles_minute_store',
  '15m': 'prices_candles_minute_store',
  '1h': 'prices_candles_hour_store',
  '1d': 'prices_candles_day_store',
  '1w': 'prices_candles_day_store',
};

const START = 'toUnixTimestamp64Milli(start)';
/** In more digits than the view has: a price may have twelve in front of the point. */
const e6 = (column: string): string => `toString(toInt64(toDecimal128(${column}, 6) * 1000000))`;

/** As the texts of PricesSource. Bars have no count. */
function rowsSql(kind: Kind, only: string): string {
  const figures = [
    'symbol',
    ...['open', 'high', 'low', 'close'].map(e6),
    'toString(volume)',
    'toString(price_volume)',
    `ifNull(${e6('vwap')}, '~')`,
    kind === 'bar' ? "'1'" : 'toString(bars)',
  ];
  const from = kind === 'bar' ? 'prices_bars' : `prices_candles WHERE interval = '${kind}'`;
  return `SELECT stock_id, ${START} AS start_ms, concatWithSeparator('|', ${figures.join(', ')}) AS text
    FROM (SELECT * FROM ${from}) WHERE start_ms >= {since:Int64} AND ${only}`;
}

export class PricesWarehouse {
  readonly #client: ClickHouseClient;
  readonly #since: string;
  readonly #pipeline: string;

  constructor(client: ClickHouseClient, options: { readonly since: Date | null; readonly pipeline?: string }) {
    this.#client = client;
    this.#since = String(options.since?.getTime() ?? 0);
    this.#pipeline = options.pipeline ?? CANDLES_SINK;
  }

  /** By partition of `prices.candles`: everything that Postgres committed before the position is shown. */
  async progress(): Promise<ReadonlyMap<number, { readonly lsn: bigint; readonly nextOffset: string }>> {
    const rows = await this.#select<{ partition: number; lsn: string; next_offset: string }>(
      'ask how far it is written',
      'SELECT partition, lsn, next_offset FROM sluice_freshness WHERE pipeline = {pipeline:String} AND topic = {topic:String}',
      { pipeline: this.#pipeline, topic: CANDLES },
    );
    return new Map(rows.map((row) => [row.partition, { lsn: BigInt(row.lsn), nextOffset: row.next_offset }]));
  }

  async sums(kind: Kind): Promise<Map<bigint, StockSum>> {
    const rows = await this.#select<{ stock_id: string; n: string; sum: string }>(
      'sum up bars or candles',
      `SELECT stock_id, count() AS n,
         sum(reinterpretAsUInt64(reverse(substring(MD5(concat(toString(start_ms), '|', text)), 1, 8)))) AS sum
       FROM (${rowsSql(kind, 'true')}) GROUP BY stock_id`,
    );
    return new Map(
      rows.map(({ stock_id, n, sum }) => [BigInt(stock_id), { rows: Number(n), sum: BigInt.asUintN(64, BigInt(sum)) }]),
    );
  }

  async rows(kind: Kind, stocks: readonly bigint[]): Promise<readonly Row[]> {
    const rows = await this.#select<{ stock_id: string; start_ms: string; text: string }>(
      'read bars or candles',
      rowsSql(kind, 'stock_id IN ({stocks:Array(Int64)})'),
      { stocks },
    );
    return rows.map(({ stock_id, start_ms, text }) => ({ stockId: BigInt(stock_id), start: BigInt(start_ms), text }));
  }

  /** The newest version of each bar or candle, tombstones too: key `stock start`. */
  async versions(kind: Kind, stocks: readonly bigint[]): Promise<ReadonlyMap<string, string>> {
    const ofKind = kind === 'bar' ? 'true' : 'interval = {kind:String}';
    const rows = await this.#select<{ key: string; newest: string }>(
      'read versions',
      `SELECT concat(toString(stock_id), ' ', toString(${START})) AS key, max(version) AS newest FROM ${STORES[kind]}
       WHERE ${ofKind} AND stock_id IN ({stocks:Array(Int64)}) GROUP BY key`,
      { stocks, kind },
    );
    return new Map(rows.map(({ key, newest }) => [key, newest]));
  }

  async #select<T>(
    doing: string,
    query: string,
    params: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly T[]> {
    try {
      return await selectRows<T>(this.#client, query, { since: this.#since, ...params });
    } catch (error) {
      throw clickHouseError(error, doing);
    }
  }
}
