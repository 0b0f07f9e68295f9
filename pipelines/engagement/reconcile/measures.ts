/** The sums that rollups and boards are made of, for one row: by hand, since the pipeline's own code is what is judged. */
import type { Row } from './row.ts';

/** Columns of the rollups, in this order everywhere. */
export const MEASURES = [
  'events',
  'plays',
  'pauses',
  'finishes',
  'clicks',
  'duration_ms_sum',
  'duration_samples',
  'pct_bp_sum',
  'pct_samples',
] as const;

/** In the order of `MEASURES`. */
export type Sums = readonly bigint[];

export const NO_SUMS: Sums = MEASURES.map(() => 0n);

export function addSums(a: Sums, b: Sums, sign: 1n | -1n = 1n): Sums {
  return a.map((value, index) => value + sign * b[index]!);
}

export function isZero(sums: Sums): boolean {
  return sums.every((value) => value === 0n);
}

export function sameSums(a: Sums, b: Sums): boolean {
  return a.every((value, index) => value === b[index]);
}

/** What one row counts for. */
export function sumsOf(row: Row): Sums {
  const is = (type: string): bigint => (row.eventType === type ? 1n : 0n);
  return [
    1n,
    is('play'),
    is('pause'),
    is('finish'),
    is('click'),
    BigInt(row.durationMs ?? 0),
    row.durationMs === null ? 0n : 1n,
    row.pctBp ?? 0n,
    row.pctBp === null ? 0n : 1n,
  ];
}

export function showSums(sums: Sums): string {
  return MEASURES.map((name, index) => `${name}=${sums[index]}`).join(' ');
}

/** One aggregate for each measure, for both databases; `signed` wraps what is summed (`sign * …` over a change log). */
export function measureSql(
  dialect: 'postgres' | 'clickhouse',
  columns: { readonly pct: string; readonly sign?: string },
): readonly string[] {
  const { pct, sign } = columns;
  const times = sign === undefined ? '' : `${sign} * `;
  const sum = (value: string) =>
    dialect === 'postgres' ? `coalesce(sum(${value}), 0)::bigint` : `sum(toInt64(${value}))`;
  const when = (condition: string) => sum(`${times}CASE WHEN ${condition} THEN 1 ELSE 0 END`);
  return [
    sum(`${times}1`),
    when("event_type = 'play'"),
    when("event_type = 'pause'"),
    when("event_type = 'finish'"),
    when("event_type = 'click'"),
    sum(`${times}coalesce(duration_ms, 0)`),
    when('duration_ms IS NOT NULL'),
    sum(`${times}coalesce(${pct}, 0)`),
    when(`${pct} IS NOT NULL`),
  ];
}
