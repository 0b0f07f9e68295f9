/** Bars and candles as Postgres computes them, from stocks and stock_prices alone. */
import type { Sql } from '../../../connectors/postgres/pool.ts';

export const KINDS = ['bar', '5m', '15m', '1h', '1d', '1w'] as const;
export type Kind = (typeof KINDS)[number];

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

/** The zone of `s.exchange`. Written apart from the pipeline's own list: a test holds them together. */
export const ZONE = `CASE s.exchange
  WHEN 'NYSE' THEN 'America/New_York' WHEN 'NASDAQ' THEN 'America/New_York' WHEN 'LSE' THEN 'Europe/London'
  WHEN 'XETRA' THEN 'Europe/Berlin' WHEN 'TSE' THEN 'Asia/Tokyo' WHEN 'NSE' THEN 'Asia/Kolkata'
  WHEN 'HKEX' THEN 'Asia/Hong_Kong' ELSE 'UTC' END`;

/** Rows that are valid, with their local time. $1: only rows from this time on; $2: stocks, NULL for all. */
const BARS = `bars AS (
  SELECT * FROM (
    SELECT p.stock_id, s.symbol, ${ZONE} AS zone, p.ts, p.ts AT TIME ZONE ${ZONE} AS local,
      p.source = 'daily' OR starts_with(p.source, 'daily:') AS daily, p.open, p.high, p.low, p.close, p.volume
    FROM stock_prices p JOIN stocks s ON s.id = p.stock_id
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

/** $1 and $2 as of BARS. Buckets that begin before $1 are left out: some of their bars may be. */
function rowsSql(kind: Kind): string {
  const figures = ['open', 'high', 'low', 'close', 'volume', 'pv', 'vwap', 'n'];
  const text = figures.map((name) => `coalesce(${name}::text, '~')`).join(', ');
  return `WITH ${BARS}, figures AS (
      SELECT stock_id, symbol, ${BUCKET[kind]} AS start,
        ${whole('(array_agg(open ORDER BY ts))[1]')} AS open, ${whole('max(high)')} AS high, ${whole('min(low)')} AS low,
        ${whole('(array_agg(close ORDER BY ts DESC))[1]')} AS close, sum(volume)::numeric AS volume,
        trunc(sum((high + low + close) * 1000000 * volume)) AS pv, count(*) AS n
      FROM bars b WHERE ${USED[kind]} GROUP BY stock_id, symbol, 3
    ), priced AS (
      SELECT *, CASE WHEN volume > 0 THEN div(2 * pv + 3 * volume, 6 * volume) END AS vwap FROM figures WHERE start >= $1
    )
    SELECT stock_id, (extract(epoch FROM start) * 1000)::bigint AS start, concat_ws('|', symbol, ${text}) AS text FROM priced`;
}

export class PricesSource {
  readonly #sql: Sql;
  readonly #since: Date | string;

  constructor(sql: Sql, since: Date | null) {
    this.#sql = sql;
    this.#since = since ?? '-infinity';
  }

  async sums(kind: Kind): Promise<Map<bigint, StockSum>> {
    const { rows } = await this.#sql.query<{ stock_id: bigint; n: bigint; sum: string }>(
      `SELECT stock_id, count(*) AS n, sum(('x' || left(md5(start || '|' || text), 16))::bit(64)::bigint)::text AS sum
       FROM (${rowsSql(kind)}) r GROUP BY stock_id`,
      [this.#since, null],
    );
    return new Map(
      rows.map(({ stock_id, n, sum }) => [stock_id, { rows: Number(n), sum: BigInt.asUintN(64, BigInt(sum)) }]),
    );
  }

  async rows(kind: Kind, stocks: readonly bigint[]): Promise<readonly Row[]> {
    const { rows } = await this.#sql.query<{ stock_id: bigint; start: bigint; text: string }>(rowsSql(kind), [
      this.#since,
      stocks,
    ]);
    return rows.map(({ stock_id, start, text }) => ({ stockId: stock_id, start, text }));
  }
}
