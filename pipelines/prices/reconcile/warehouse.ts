/** Bars and candles as ClickHouse shows them. */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import { CANDLES, CANDLES_SINK } from '../topics.ts';
import { keyOf } from './key.ts';
import type { BarState } from './letters.ts';
import { type Scope, untilSql } from './scope.ts';
import type { Kind, Row, StockSum } from './source.ts';

/** Tables of versions, whose view shows the newest. */
export const CANDLE_STORES: Readonly<Record<Kind, string>> = {
  bar: 'prices_bars_store',
  '5m': 'prices_candles_minute_store',
  '15m': 'prices_candles_minute_store',
  '1h': 'prices_candles_hour_store',
  '1d': 'prices_candles_day_store',
  '1w': 'prices_candles_day_store',
};

export const millis = (column: string): string => `toUnixTimestamp64Milli(${column})`;
/** In more digits than the view has: a price may have twelve in front of the point. */
export const e6 = (column: string): string => `toString(toInt64(toDecimal128(${column}, 6) * 1000000))`;

const viewOf = (kind: Kind): string =>
  kind === 'bar' ? 'prices_bars' : `(SELECT * FROM prices_candles WHERE interval = '${kind}')`;

/** As the texts of PricesSource. Bars have no count. */
function rowsSql(kind: Kind, only: string, scope: Scope): string {
  const figures = [
    'symbol',
    `toString(${millis('end')})`,
    ...['open', 'high', 'low', 'close'].map(e6),
    'toString(volume)',
    `ifNull(${e6('vwap')}, '~')`,
    kind === 'bar' ? "'1'" : 'toString(bars)',
    'toString(price_volume)',
    "ifNull(source, '~')",
  ];
  return `SELECT stock_id, ${millis('start')} AS start_ms, concatWithSeparator('|', ${figures.join(', ')}) AS text
    FROM (SELECT * FROM ${viewOf(kind)}) WHERE ${inScope(kind, scope)} AND ${only}`;
}

/** As SQL. */
function inScope(kind: Kind, scope: Scope): string {
  const until = untilSql(scope, kind, { start: millis('start'), end: millis('end') });
  const stocks = scope.stocks.length === 0 ? 'true' : `stock_id IN (${scope.stocks.join(', ')})`;
  return `${millis('start')} >= {since:Int64} AND ${until} AND ${stocks}`;
}

export interface WarehouseProgress {
  readonly lsn: bigint;
  readonly nextOffset: string;
}

/** Tables that a sink fills from a topic. */
export interface WrittenWarehouse {
  readonly topic: string;
  /** By partition of the topic: everything that Postgres committed before the position is shown. */
  progress(): Promise<ReadonlyMap<number, WarehouseProgress>>;
}

/** As of `WrittenWarehouse`, of the sink of this name. Throws as `clickHouseError`. */
export async function progressOf(
  client: ClickHouseClient,
  pipeline: string,
  topic: string,
): Promise<ReadonlyMap<number, WarehouseProgress>> {
  const rows = await selected<{ partition: number; lsn: string; next_offset: string }>(client, {
    doing: 'ask how far it is written',
    query:
      'SELECT partition, lsn, next_offset FROM sluice_freshness WHERE pipeline = {pipeline:String} AND topic = {topic:String}',
    params: { pipeline, topic },
  });
  return new Map(rows.map((row) => [row.partition, { lsn: BigInt(row.lsn), nextOffset: row.next_offset }]));
}

interface Selecting {
  readonly doing: string;
  readonly query: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Rows of a query. Throws as `clickHouseError`. */
export async function selected<T>(
  client: ClickHouseClient,
  { doing, query, params }: Selecting,
): Promise<readonly T[]> {
  try {
    return await selectRows<T>(client, query, params);
  } catch (error) {
    throw clickHouseError(error, doing);
  }
}

export class PricesWarehouse implements WrittenWarehouse {
  readonly topic = CANDLES;
  readonly #client: ClickHouseClient;
  readonly #scope: Scope;
  readonly #pipeline: string;

  constructor(client: ClickHouseClient, options: { readonly scope: Scope; readonly pipeline?: string }) {
    this.#client = client;
    this.#scope = options.scope;
    this.#pipeline = options.pipeline ?? CANDLES_SINK;
  }

  async progress(): Promise<ReadonlyMap<number, WarehouseProgress>> {
    return await progressOf(this.#client, this.#pipeline, this.topic);
  }

  async sums(kind: Kind): Promise<Map<bigint, StockSum>> {
    const rows = await this.#select<{ stock_id: string; n: string; sum: string }>(
      'sum up bars or candles',
      `SELECT stock_id, count() AS n,
         sum(reinterpretAsUInt64(reverse(substring(MD5(concat(toString(start_ms), '|', text)), 1, 8)))) AS sum
       FROM (${rowsSql(kind, 'true', this.#scope)}) GROUP BY stock_id`,
    );
    return new Map(
      rows.map(({ stock_id, n, sum }) => [BigInt(stock_id), { rows: Number(n), sum: BigInt.asUintN(64, BigInt(sum)) }]),
    );
  }

  async rows(kind: Kind, stocks: readonly bigint[]): Promise<readonly Row[]> {
    const rows = await this.#select<{ stock_id: string; start_ms: string; text: string }>(
      'read bars or candles',
      rowsSql(kind, 'stock_id IN ({stocks:Array(Int64)})', this.#scope),
      { stocks },
    );
    return rows.map(({ stock_id, start_ms, text }) => ({ stockId: BigInt(stock_id), start: BigInt(start_ms), text }));
  }

  /** The newest version of each bar or candle, tombstones too: key `stock start`. A version is an offset of prices.candles. */
  async versions(kind: Kind, stocks: readonly bigint[]): Promise<ReadonlyMap<string, string>> {
    const ofKind = kind === 'bar' ? 'true' : 'interval = {kind:String}';
    const rows = await this.#select<{ key: string; newest: string }>(
      'read versions',
      `SELECT concat(toString(stock_id), ' ', toString(${millis('start')})) AS key, max(version) AS newest FROM ${CANDLE_STORES[kind]}
       WHERE ${ofKind} AND stock_id IN ({stocks:Array(Int64)}) GROUP BY key`,
      { stocks, kind },
    );
    return new Map(rows.map(({ key, newest }) => [key, newest]));
  }

  /** Candles whose `final` cannot be: not final though they end at or before `finalTo`, or final before their end. The first of them, and how many. */
  async notFinal(kind: Kind, at: { readonly finalTo: number; readonly nowMs: number; readonly limit: number }) {
    const { finalTo, nowMs, limit } = at;
    const from = `${viewOf(kind)} WHERE ${inScope(kind, this.#scope)}
      AND (NOT final AND ${millis('end')} <= {finalTo:Int64} OR final AND ${millis('end')} > {nowMs:Int64})`;
    const rows = await this.#select<{ stock_id: string; start_ms: string; final: boolean; n: string }>(
      'look for candles that are not final',
      `SELECT stock_id, ${millis('start')} AS start_ms, final, count() OVER () AS n FROM ${from}
       ORDER BY stock_id, start_ms LIMIT {limit:UInt32}`,
      { finalTo, nowMs, limit },
    );
    const shown = rows.map(({ stock_id, start_ms, final }) => ({
      key: keyOf(BigInt(stock_id), BigInt(start_ms)),
      final,
    }));
    return { count: Number(rows[0]?.n ?? 0), shown };
  }

  /** The bars of these stocks that begin at these times, decimals as text of six places; by `stock micros`. */
  async bars(rows: readonly { readonly stockId: bigint; readonly micros: number }[]): Promise<Map<string, BarState>> {
    const found = await this.#select<Record<'stock_id' | 'start_ms' | 'volume' | Decimal, string> & { source: string }>(
      'read bars',
      `SELECT stock_id, ${millis('start')} AS start_ms, toString(volume) AS volume, source,
         ${DECIMALS.map((name) => `toDecimalString(${name}, 6) AS ${name}`).join(', ')}
       FROM (SELECT * REPLACE(ifNull(source, '') AS source) FROM prices_bars)
       WHERE stock_id IN ({stocks:Array(Int64)}) AND start_ms IN ({starts:Array(Int64)})`,
      { stocks: rows.map(({ stockId }) => stockId), starts: rows.map(({ micros }) => Math.floor(micros / 1_000)) },
    );
    return new Map(
      found.map(({ stock_id, start_ms, volume, source, open, high, low, close }) => {
        const micros = Number(start_ms) * 1_000;
        const bar = { stockId: BigInt(stock_id), micros, open, high, low, close, volume: BigInt(volume), source };
        return [keyOf(bar.stockId, micros), bar];
      }),
    );
  }

  /** When the newest day of each stock became what it is, ms. */
  async newestDays(): Promise<ReadonlyMap<bigint, { readonly start: number; readonly committedMs: number }>> {
    const rows = await this.#select<{ stock_id: string; start_ms: string; commit_ms: string }>(
      'read the newest days',
      `SELECT stock_id, max(${millis('start')}) AS start_ms, argMax(${millis('commit_ts')}, start) AS commit_ms
       FROM ${viewOf('1d')} GROUP BY stock_id`,
    );
    return new Map(
      rows.map(({ stock_id, start_ms, commit_ms }) => {
        return [BigInt(stock_id), { start: Number(start_ms), committedMs: Number(commit_ms) }];
      }),
    );
  }

  async #select<T>(
    doing: string,
    query: string,
    params: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly T[]> {
    const since = String(this.#scope.since?.getTime() ?? 0);
    return await selected<T>(this.#client, { doing, query, params: { since, ...params } });
  }
}

const DECIMALS = ['open', 'high', 'low', 'close'] as const;
type Decimal = (typeof DECIMALS)[number];
