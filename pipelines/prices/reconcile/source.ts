/** Bars and candles as Postgres computes them, from stocks and stock_prices alone. */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { keyOf, startOf, stockOf } from './key.ts';
import type { BarState } from './letters.ts';
import { type Scope, untilSql } from './scope.ts';

export const KINDS = ['bar', '5m', '15m', '1h', '1d', '1w'] as const;
export type Kind = (typeof KINDS)[number];
/** What the public topics have. */
export const CANDLE_KINDS = ['5m', '15m', '1h', '1d', '1w'] as const satisfies readonly Kind[];
export type CandleKind = (typeof CANDLE_KINDS)[number];

/** A bar or candle, by kind and stock: its start in ms, and everything else as one text. */
export interface Row {
  readonly stockId: bigint;
  readonly start: bigint;
  readonly text: string;
}

/** Rows and the sum of their hashes, by stock. */
export interface StockSum {
  readonly rows: number;
  readonly sum: bigint;
}

export interface BarCounts {
  readonly bars: number;
  readonly minutes: number;
}

/** Whether candles of this kind can be made of daily bars. */
export const isOfDays = (kind: Kind): boolean => USED[kind] === COUNTED;

/** A candle in figures: integers, prices in millionths. */
export interface CandleFigures {
  readonly symbol: string;
  readonly start: number;
  readonly end: number;
  readonly open: bigint;
  readonly high: bigint;
  readonly low: bigint;
  readonly close: bigint;
  readonly volume: bigint;
}

/** What takes the place of a row of stock_prices: a bar as a sink has it, or none. */
export interface Override {
  readonly stockId: bigint;
  /** Microseconds since the epoch. */
  readonly micros: number;
  readonly bar: Omit<BarState, 'stockId' | 'micros'> | null;
}

/** The zone of `s.exchange`. Written apart from the pipeline's own list: a test holds them together. */
export const ZONE = `CASE s.exchange
  WHEN 'NYSE' THEN 'America/New_York' WHEN 'NASDAQ' THEN 'America/New_York' WHEN 'LSE' THEN 'Europe/London'
  WHEN 'XETRA' THEN 'Europe/Berlin' WHEN 'TSE' THEN 'Asia/Tokyo' WHEN 'NSE' THEN 'Asia/Kolkata'
  WHEN 'HKEX' THEN 'Asia/Hong_Kong' ELSE 'UTC' END`;

const COLUMNS = 'stock_id, ts, open, high, low, close, volume, source';
const FROM_MICROS = `timestamptz 'epoch' + o.micros * interval '1 microsecond'`;
const OVERRIDES = `jsonb_to_recordset($3::jsonb) AS o(
  stock_id bigint, micros bigint, open numeric, high numeric, low numeric, close numeric, volume bigint, source text)`;

/** Rows that are valid, with their local time. $1: only rows from this time on; $2: stocks, NULL for all; $3: overrides as JSON. */
const BARS = `told AS (
  SELECT o.stock_id, ${FROM_MICROS} AS ts, open, high, low, close, volume, source FROM ${OVERRIDES}
), rows AS (
  SELECT ${COLUMNS} FROM stock_prices r WHERE NOT EXISTS (SELECT FROM told t WHERE t.stock_id = r.stock_id AND t.ts = r.ts)
  UNION ALL
  SELECT ${COLUMNS} FROM told WHERE open IS NOT NULL
), bars AS (
  SELECT * FROM (
    SELECT p.stock_id, s.symbol, s.exchange, s.sector, ${ZONE} AS zone, p.ts, p.ts AT TIME ZONE ${ZONE} AS local,
      p.source = 'daily' OR starts_with(p.source, 'daily:') AS daily, p.open, p.high, p.low, p.close, p.volume, p.source
    FROM rows p JOIN stocks s ON s.id = p.stock_id
    WHERE p.ts >= greatest($1, timestamptz '1970-01-01Z') AND p.ts < least(now() + interval '24 hours', timestamptz '2200-01-01Z')
      AND ($2::bigint[] IS NULL OR p.stock_id = ANY($2::bigint[]))
      AND p.volume >= 0 AND 'NaN' NOT IN (p.open, p.high, p.low, p.close)
      AND least(p.open, p.high, p.low, p.close) > 0
      AND p.high >= greatest(p.open, p.low, p.close) AND p.low <= least(p.open, p.close)
  ) r WHERE CASE WHEN daily THEN ts = date_trunc('day', local) AT TIME ZONE zone ELSE ts = date_trunc('minute', ts) END
)`;

/** A local hour that the clock repeats is two: the hour is taken off the instant. */
const HOUR = `ts - (local - date_trunc('hour', local))`;

const BUCKET: Readonly<Record<Kind, string>> = {
  bar: 'ts',
  '5m': `date_bin('5 minutes', ts, timestamptz '1970-01-01Z')`,
  '15m': `date_bin('15 minutes', ts, timestamptz '1970-01-01Z')`,
  '1h': HOUR,
  '1d': `date_trunc('day', local) AT TIME ZONE zone`,
  '1w': `date_trunc('week', local) AT TIME ZONE zone`,
};

const NEXT_DAY = `(date_trunc('day', first_local) + interval '1 day') AT TIME ZONE zone`;

/** The first instant behind a bucket, from its `start`, its zone, and the local time of its first bar. */
const END: Readonly<Record<Kind, string>> = {
  bar: `CASE WHEN of_day THEN ${NEXT_DAY} ELSE start + interval '1 minute' END`,
  '5m': `start + interval '5 minutes'`,
  '15m': `start + interval '15 minutes'`,
  '1h': `start + interval '1 hour'`,
  '1d': NEXT_DAY,
  '1w': `(date_trunc('week', first_local) + interval '7 days') AT TIME ZONE zone`,
};

/** Where a bar is from, or the daily bar that a day is made of. */
const FROM: Readonly<Record<Kind, string>> = {
  bar: 'min(source)',
  '5m': 'NULL',
  '15m': 'NULL',
  '1h': 'NULL',
  '1d': 'min(source) FILTER (WHERE daily)',
  '1w': 'NULL',
};

/** A daily bar counts where the day has no bars of minutes. */
const COUNTED = `NOT daily OR NOT EXISTS (
  SELECT FROM bars m WHERE m.stock_id = b.stock_id AND NOT m.daily AND m.local::date = b.local::date)`;

const USED: Readonly<Record<Kind, string>> = {
  bar: 'true',
  '5m': 'NOT daily',
  '15m': 'NOT daily',
  '1h': 'NOT daily',
  '1d': COUNTED,
  '1w': COUNTED,
};

const whole = (price: string): string => `(${price} * 1000000)::bigint`;

/** Milliseconds since the epoch. */
const millis = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::bigint`;

/** CTEs up to `priced`: every bucket that begins at $1 or later, in figures. $1 to $3 as of BARS. Some bars of an earlier bucket may be left out. */
export function pricedSql(kind: Kind): string {
  return `${BARS}, figures AS (
      SELECT stock_id, symbol, exchange, sector, zone, ${BUCKET[kind]} AS start, min(local) AS first_local, bool_or(daily) AS of_day,
        ${whole('(array_agg(open ORDER BY ts))[1]')} AS open, ${whole('max(high)')} AS high, ${whole('min(low)')} AS low,
        ${whole('(array_agg(close ORDER BY ts DESC))[1]')} AS close, sum(volume)::numeric AS volume,
        trunc(sum((high + low + close) * 1000000 * volume)) AS pv, count(*) AS n, ${FROM[kind]} AS source
      FROM bars b WHERE ${USED[kind]} GROUP BY stock_id, symbol, exchange, sector, zone, 6
    ), priced AS (
      SELECT *, CASE WHEN volume > 0 THEN div(2 * pv + 3 * volume, 6 * volume) END AS vwap, ${millis('start')} AS start_ms,
        ${millis(END[kind])} AS end_ms
      FROM figures WHERE start >= $1
    )`;
}

/** What the public topic says of a candle, and what else is known inside. */
const PUBLIC = ['end_ms', 'open', 'high', 'low', 'close', 'volume', 'vwap', 'n'];
const ALL = [...PUBLIC, 'pv', 'source'];

function rowsSql(kind: Kind, columns: readonly string[], scope: Scope): string {
  const text = columns.map((name) => `coalesce(${name}::text, '~')`).join(', ');
  const until = untilSql(scope, kind, { start: 'start_ms', end: 'end_ms' });
  return `WITH ${pricedSql(kind)} SELECT stock_id, start_ms AS start, concat_ws('|', symbol, ${text}) AS text FROM priced WHERE ${until}`;
}

/** Valid bars of a stock: all, and those of minutes. */
export interface StockBars extends BarCounts {
  readonly symbol: string;
}

const STOCKS = `WITH ${BARS} SELECT stock_id, symbol, count(*) AS n, count(*) FILTER (WHERE NOT daily) AS minutes FROM bars
  GROUP BY stock_id, symbol`;

type StockRow = Readonly<Record<'stock_id' | 'n' | 'minutes', bigint>> & { readonly symbol: string };

function stockBars(rows: readonly StockRow[]): ReadonlyMap<bigint, StockBars> {
  return new Map(
    rows.map(({ stock_id, symbol, n, minutes }) => [stock_id, { symbol, bars: Number(n), minutes: Number(minutes) }]),
  );
}

export class PricesSource {
  readonly #sql: Sql;
  readonly #scope: Scope;
  readonly #overrides: string;

  /** `overrides` take the place of their rows in all that is computed. */
  constructor(sql: Sql, scope: Scope, overrides: readonly Override[] = []) {
    this.#sql = sql;
    this.#scope = scope;
    this.#overrides = JSON.stringify(
      overrides.map(({ stockId, micros, bar }) => ({
        ...{ stock_id: String(stockId), micros },
        ...{ open: bar?.open, high: bar?.high, low: bar?.low, close: bar?.close, source: bar?.source },
        volume: bar === null ? undefined : String(bar.volume),
      })),
    );
  }

  async sums(kind: Kind): Promise<Map<bigint, StockSum>> {
    const rows = await this.#query<{ stock_id: bigint; n: bigint; sum: string }>(
      `SELECT stock_id, count(*) AS n, sum(('x' || left(md5(start || '|' || text), 16))::bit(64)::bigint)::text AS sum
       FROM (${rowsSql(kind, ALL, this.#scope)}) r GROUP BY stock_id`,
      null,
    );
    return new Map(
      rows.map(({ stock_id, n, sum }) => [stock_id, { rows: Number(n), sum: BigInt.asUintN(64, BigInt(sum)) }]),
    );
  }

  /** All that is known of a bar or candle. */
  async rows(kind: Kind, stocks: readonly bigint[]): Promise<readonly Row[]> {
    return rowsOf(await this.#query(rowsSql(kind, ALL, this.#scope), stocks));
  }

  /** What the public topic says of a candle. */
  async publicRows(kind: Kind, stocks: readonly bigint[]): Promise<readonly Row[]> {
    return rowsOf(await this.#query(rowsSql(kind, PUBLIC, this.#scope), stocks));
  }

  /** Every candle of each stock, in the order of time and whenever it begins: what follows depends on all of them. */
  async series(kind: Kind, stocks: readonly bigint[]): Promise<ReadonlyMap<bigint, readonly CandleFigures[]>> {
    type Found = Record<'stock_id' | 'start_ms' | 'end_ms' | 'open' | 'high' | 'low' | 'close', bigint> &
      Record<'symbol' | 'volume', string>;
    const rows = await this.whole<Found>(
      `WITH ${pricedSql(kind)} SELECT stock_id, symbol, start_ms, end_ms, open, high, low, close, volume FROM priced ORDER BY stock_id, start_ms`,
      stocks,
    );
    const series = new Map<bigint, CandleFigures[]>();
    for (const { stock_id, start_ms, end_ms, volume, ...figures } of rows) {
      const candle = { ...figures, start: Number(start_ms), end: Number(end_ms), volume: BigInt(volume) };
      const known = series.get(stock_id);
      if (known === undefined) series.set(stock_id, [candle]);
      else known.push(candle);
    }
    return series;
  }

  /** Stocks with valid bars from the begin of the scope on. */
  async stocks(): Promise<ReadonlyMap<bigint, StockBars>> {
    return stockBars(await this.#query(STOCKS, null));
  }

  /** Stocks with valid bars, whenever they are. */
  async allStocks(): Promise<ReadonlyMap<bigint, StockBars>> {
    return stockBars(await this.whole(STOCKS, null));
  }

  /** The valid bars among these rows, decimals as text of six places; by `stock micros`. */
  async bars(rows: readonly { readonly stockId: bigint; readonly micros: number }[]) {
    const wanted = JSON.stringify(rows.map(({ stockId, micros }) => ({ stock_id: String(stockId), micros })));
    const found = await this.#query<
      Record<'stock_id' | 'micros' | 'volume', bigint> & Record<Decimal | 'source', string>
    >(
      `WITH ${BARS} SELECT stock_id, o.micros, b.open::text, b.high::text, b.low::text, b.close::text, b.volume, b.source
       FROM jsonb_to_recordset($4::jsonb) AS o(stock_id bigint, micros bigint) JOIN bars b USING (stock_id)
       WHERE b.ts = ${FROM_MICROS}`,
      [...new Set(rows.map(({ stockId }) => stockId))],
      wanted,
    );
    return new Map(
      found.map(({ stock_id, micros, ...bar }): [string, BarState] => {
        return [keyOf(stock_id, micros), { stockId: stock_id, micros: Number(micros), ...bar }];
      }),
    );
  }

  /** By `stock start` of a candle, the start of a bar that it is made of, ms; none of a candle without any. */
  async barsIn(kind: CandleKind, keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const wanted = keys.map((key) => ({ stock_id: String(stockOf(key)), start: startOf(key) }));
    const rows = await this.#from<{ stock_id: bigint; start: bigint; ms: bigint }>(
      '-infinity',
      `WITH ${BARS} SELECT b.stock_id, o.start, ${millis('min(ts)')} AS ms
       FROM bars b JOIN jsonb_to_recordset($4::jsonb) AS o(stock_id bigint, start bigint)
         ON o.stock_id = b.stock_id AND ${millis(BUCKET[kind])} = o.start
       WHERE ${USED[kind]} GROUP BY b.stock_id, o.start`,
      [...new Set(keys.map(stockOf))],
      [JSON.stringify(wanted)],
    );
    return new Map(rows.map(({ stock_id, start, ms }) => [keyOf(stock_id, start), Number(ms)]));
  }

  /** A statement whose $1 to $3 are those of BARS, over all rows whenever they are. */
  async whole<R extends object>(
    text: string,
    stocks: readonly bigint[] | null,
    ...more: number[]
  ): Promise<readonly R[]> {
    return await this.#from<R>('-infinity', text, stocks, more);
  }

  /** As `whole`, over the newest rows of each stock: those from a time on, where there are any, else all. Each row of the result names its `stock_id`. */
  async newest<R extends { readonly stock_id: bigint }>(text: string, from: Date): Promise<readonly R[]> {
    const lately = await this.#from<R>(from, text, null, []);
    const { rows: others } = await this.#sql.query<{ id: bigint }>(
      'SELECT id FROM stocks WHERE id <> ALL ($1::bigint[]) AND ($2::bigint[] IS NULL OR id = ANY ($2))',
      [lately.map(({ stock_id }) => stock_id), this.#stocks],
    );
    if (others.length === 0) return lately;
    const before = await this.whole<R>(
      text,
      others.map(({ id }) => id),
    );
    return [...lately, ...before];
  }

  /** Of the scope; null: all. */
  get #stocks(): readonly bigint[] | null {
    return this.#scope.stocks.length === 0 ? null : this.#scope.stocks;
  }

  async #query<R extends object>(
    text: string,
    stocks: readonly bigint[] | null,
    ...more: string[]
  ): Promise<readonly R[]> {
    return await this.#from<R>(this.#scope.since ?? '-infinity', text, stocks, more);
  }

  async #from<R extends object>(
    since: Date | string,
    text: string,
    stocks: readonly bigint[] | null,
    more: readonly (string | number)[],
  ): Promise<readonly R[]> {
    const { rows } = await this.#sql.query<R>(text, [since, stocks ?? this.#stocks, this.#overrides, ...more]);
    return rows;
  }
}

type Decimal = 'open' | 'high' | 'low' | 'close';

function rowsOf(rows: readonly { stock_id: bigint; start: bigint; text: string }[]): readonly Row[] {
  return rows.map(({ stock_id, start, text }) => ({ stockId: stock_id, start, text }));
}
