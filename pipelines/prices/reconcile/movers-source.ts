/** The boards of movers as Postgres computes them: the figures of each stock by which it is ranked, and by how much. */
import { type PricesSource, pricedSql } from './source.ts';

export const PERIODS = ['1d', '1w'] as const;
export type Period = (typeof PERIODS)[number];

export const BOARDS = [
  'at_resistance',
  'at_support',
  'gainers',
  'losers',
  'most_active',
  'unusual_volume',
  'high_20d',
  'low_20d',
  'high_52w',
  'low_52w',
] as const;
export type Board = (typeof BOARDS)[number];

/** What Redis has of a stock beside its scores; text as it is there, null: no such field. */
export const FIELDS = [
  'stock_id',
  'exchange',
  'sector',
  'start',
  'close',
  'high',
  'low',
  'volume',
  'change_bp',
  'volume_ratio',
  'pivot',
  'resistance_1',
  'support_1',
  'resistance_2',
  'support_2',
] as const;
export type Field = (typeof FIELDS)[number];

/** A stock with a candle that has begun and not left. */
export interface Mover {
  readonly symbol: string;
  readonly exchange: string;
  readonly sector: string | null;
  /** Null: not on that board. */
  readonly scores: Readonly<Record<Board, number | null>>;
  readonly fields: Readonly<Record<Field, string | null>>;
}

/** n / d of integers, rounded half up; d is positive. */
function halfUp(n: string, d: string): string {
  const [top, by] = [`(2 * (${n}) + (${d}))`, `(2 * (${d}))`];
  return `div(${top} - mod(mod(${top}, ${by}) + ${by}, ${by}), ${by})`;
}

const basisPoints = (from: string, to: string): string =>
  halfUp(`(${to} - ${from}) * 10000::numeric`, `${from}::numeric`);

/** Millionths as text without zeros behind. */
const decimal = (e6: string): string => `trim_scale((${e6}) * 0.000001)::text`;

/** A day leaves when the next weekday begins at the exchange, a week at its end. */
const LEAVES: Readonly<Record<Period, string>> = {
  '1d': `(extract(epoch FROM (date_trunc('day', first_local) + interval '1 day' * CASE extract(isodow FROM first_local)
    WHEN 5 THEN 3 WHEN 6 THEN 2 ELSE 1 END) AT TIME ZONE zone) * 1000)::bigint`,
  '1w': 'end_ms',
};

/** Candles that make 20 trading days. */
const DAYS: Readonly<Record<Period, number>> = { '1d': 20, '1w': 4 };
/** 364 days and half a day less or more: days begin an hour earlier or later where the clock was changed in between. */
const YEAR_AT_LEAST_MS = 31_406_400_000;
const YEAR_AT_MOST_MS = 31_492_800_000;

const broken = (level: string, price: string, sign: '>' | '<'): string =>
  `CASE WHEN ${price} ${sign} ${level} THEN abs(${basisPoints(level, price)})::float8 END`;

/** Basis points of the price by which a level may be away for the price to be at it. */
const NEAR_BP = 100;

/** What is left of them at the nearer of two levels. */
function near(a: string, b: string): string {
  const left = `${NEAR_BP} - least(abs(${basisPoints('close', a)}), abs(${basisPoints('close', b)}))`;
  return `CASE WHEN ${left} > 0 THEN (${left})::float8 END`;
}

/**
 * $1 to $3 as of pricedSql, $4: the time, ms, as of which. What is in front of a candle is looked at for the one that is shown alone: a window of a year at
 * every candle would cost each of them its year.
 */
function moversSql(period: Period): string {
  const days = DAYS[period];
  const within = (candles: number) => `FILTER (WHERE back <= ${candles})`;
  const newest = (column: string) => `max(${column}) FILTER (WHERE back = 1) AS p_${column}`;
  return `WITH ${pricedSql(period)}, candidates AS (
      SELECT DISTINCT ON (stock_id) * FROM (SELECT *, ${LEAVES[period]} AS leaves FROM priced WHERE start_ms <= $4) c
      WHERE leaves > $4 ORDER BY stock_id, start_ms DESC
    ), preceding AS (
      SELECT p.*, c.start_ms - ${YEAR_AT_MOST_MS} AS year_from, c.start_ms - ${YEAR_AT_LEAST_MS} AS year_to,
        row_number() OVER (PARTITION BY p.stock_id ORDER BY p.start_ms DESC) AS back
      FROM candidates c JOIN priced p ON p.stock_id = c.stock_id AND p.start_ms < c.start_ms
    ), known AS (
      SELECT stock_id, ${['close', 'high', 'low'].map(newest).join(', ')},
        CASE WHEN count(*) >= 20 THEN sum(volume) ${within(20)} END AS usual,
        CASE WHEN count(*) >= ${days} THEN max(high) ${within(days)} END AS high_20d,
        CASE WHEN count(*) >= ${days} THEN min(low) ${within(days)} END AS low_20d,
        CASE WHEN min(start_ms) <= min(year_to) THEN max(high) FILTER (WHERE start_ms >= year_from) END AS high_52w,
        CASE WHEN min(start_ms) <= min(year_to) THEN min(low) FILTER (WHERE start_ms >= year_from) END AS low_52w
      FROM preceding GROUP BY stock_id
    ), shown AS (
      SELECT *, ${basisPoints('p_close', 'close')} AS change, volume::float8 / nullif(usual::float8 / 20, 0) AS ratio, p_high + p_low + p_close AS sum
      FROM candidates LEFT JOIN known USING (stock_id)
    ), levels AS (
      SELECT *, ${halfUp('sum', '3::numeric')} AS pivot,
        ${halfUp('2 * sum - 3 * p_low', '3::numeric')} AS r1, ${halfUp('2 * sum - 3 * p_high', '3::numeric')} AS s1,
        ${halfUp('sum + 3 * (p_high - p_low)', '3::numeric')} AS r2, ${halfUp('sum - 3 * (p_high - p_low)', '3::numeric')} AS s2
      FROM shown
    )
    SELECT symbol, exchange, sector,
      CASE WHEN change > 0 THEN change::float8 END AS gainers, CASE WHEN change < 0 THEN -change::float8 END AS losers,
      CASE WHEN volume > 0 THEN volume::float8 END AS most_active, CASE WHEN ratio >= 2 THEN ratio END AS unusual_volume,
      ${broken('high_20d', 'high', '>')} AS high_20d, ${broken('low_20d', 'low', '<')} AS low_20d,
      ${broken('high_52w', 'high', '>')} AS high_52w, ${broken('low_52w', 'low', '<')} AS low_52w,
      jsonb_build_object('stock_id', stock_id::text, 'exchange', exchange, 'sector', sector, 'start', start_ms::text, 'volume', volume::text,
        'close', ${decimal('close')}, 'high', ${decimal('high')}, 'low', ${decimal('low')}, 'change_bp', change::text,
        'volume_ratio', ratio::text, 'pivot', ${decimal('pivot')}, 'resistance_1', ${decimal('r1')}, 'support_1', ${decimal('s1')},
        'resistance_2', ${decimal('r2')}, 'support_2', ${decimal('s2')})::text AS fields,
      ${near('r1', 'r2')} AS at_resistance, ${near('s1', 's2')} AS at_support
    FROM levels`;
}

/** Every stock that has a candle at that time (ms), by symbol. */
export async function moversAt(
  source: PricesSource,
  period: Period,
  timeMs: number,
): Promise<ReadonlyMap<string, Mover>> {
  type Found = Pick<Mover, 'symbol' | 'exchange' | 'sector'> &
    Readonly<Record<Board, number | null>> & { readonly fields: string };
  const rows = await source.whole<Found>(moversSql(period), null, timeMs);
  return new Map(
    rows.map(({ symbol, exchange, sector, fields, ...scores }) => {
      return [symbol, { symbol, exchange, sector, scores, fields: JSON.parse(fields) as Mover['fields'] }];
    }),
  );
}
