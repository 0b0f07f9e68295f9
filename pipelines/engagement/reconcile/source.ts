/** Postgres as of one position: what everything else is compared with. All figures are computed by the server. */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import type { SourcePosition } from '../../operations/reconcile/report.ts';
import { type SnapshotWork, withSnapshot } from '../../operations/reconcile/snapshot.ts';
import { measureSql, type Sums } from './measures.ts';
import { periodSql, type Rollup } from './period.ts';
import { type Row, type RowAnswer, toRow, wrapped } from './row.ts';
import { postgresScope, postgresScopeValues, type RowScope } from './scope.ts';

/** Rows whose ids agree in `id / RANGE_ROWS` are one bucket. */
export const RANGE_ROWS = 16_384n;

/** Rows of a bucket and the sum of their hashes. */
export interface RangeSum {
  readonly rows: number;
  readonly sum: bigint;
}

/** A cell of a rollup: its key is `cellKey`. */
export interface Cell {
  readonly period: bigint;
  readonly contentId: string;
  readonly contentType: string;
  readonly device: string | null;
}

/**
 * Percent of the length in basis points, rounded half up, at most what counts: (20·ms + length) / (2·length) in whole numbers.
 * (`least` leaves NULLs out, so it stands inside.)
 */
function pctSql(maxPctBp: number | null): string {
  const pct = '(20::bigint * e.duration_ms + c.length_seconds) / (2::bigint * c.length_seconds)';
  const counted = maxPctBp === null ? pct : `least(${pct}, ${BigInt(maxPctBp)})`;
  return `CASE WHEN e.duration_ms IS NOT NULL AND c.length_seconds > 0 THEN ${counted} END`;
}

const IN_RANGE = "e.event_ts >= '1970-01-01Z' AND e.event_ts < '2200-01-01Z'";

function eventsSql(pct: string, where: string): string {
  return `SELECT e.id, e.content_id, e.user_id, e.event_type,
      CASE WHEN ${IN_RANGE} THEN (extract(epoch FROM e.event_ts) * 1000000)::bigint END AS us,
      e.duration_ms, e.device, c.slug, c.title, c.content_type, c.length_seconds, ${pct} AS pct
    FROM engagement_events e JOIN content c ON c.id = e.content_id
    WHERE ${where}`;
}

const sized = (column: string) => `octet_length(${column}) || ':' || ${column}`;

/** `rowText` of row.ts. */
const ROW_TEXT = `concat_ws('|', id, content_id, user_id, ${sized('event_type')}, coalesce(us::text, '~'),
  coalesce(duration_ms::text, '~'), coalesce(${sized('device')}, '~'), ${sized('slug')}, ${sized('title')},
  ${sized('content_type')}, coalesce(length_seconds::text, '~'), coalesce(pct::text, '~'))`;

/** `contentText` of row.ts. */
const CONTENT_TEXT = `concat_ws('|', ${sized('slug')}, ${sized('title')}, ${sized('content_type')}, coalesce(length_seconds::text, '~'))`;

const hashed = (text: string) => `('x' || left(md5(${text}), 16))::bit(64)::bigint`;

export class Source {
  readonly position: SourcePosition;
  readonly #sql: Sql;
  /** Condition on `e` and its first parameter: rows before it are left out. */
  readonly #since: Date | null;
  readonly #scope: RowScope;
  readonly #pct: string;

  constructor(sql: Sql, position: SourcePosition, only: Omit<SourceOptions, keyof SnapshotWork>) {
    this.#sql = sql;
    this.position = position;
    this.#since = only.since;
    this.#scope = only.scope;
    this.#pct = pctSql(only.maxPctBp);
  }

  /** Number of rows and sum of hashes for each range of ids. One pass over the table. */
  async rangeSums(): Promise<Map<bigint, RangeSum>> {
    const { rows } = await this.#sql.query<{ bucket: bigint; n: bigint; sum: string }>(
      `SELECT id / ${RANGE_ROWS} AS bucket, count(*) AS n, sum(${hashed(ROW_TEXT)})::text AS sum
       FROM (${this.#events(`e.event_ts >= $1 AND ${postgresScope(2)}`)}) r GROUP BY 1`,
      [this.#from(), ...postgresScopeValues(this.#scope)],
    );
    return new Map(rows.map(({ bucket, n, sum }) => [bucket, { rows: Number(n), sum: wrapped(sum) }]));
  }

  /** Hash by id of all rows in the given ranges. */
  async rowHashes(ranges: readonly bigint[]): Promise<Map<bigint, bigint>> {
    const { rows } = await this.#sql.query<{ id: bigint; hash: bigint }>(
      `SELECT r.id, ${hashed(ROW_TEXT)} AS hash FROM unnest($2::bigint[]) AS bucket, LATERAL (
         ${this.#events(`e.event_ts >= $1 AND e.id >= bucket * ${RANGE_ROWS} AND e.id < (bucket + 1) * ${RANGE_ROWS} AND ${postgresScope(3)}`)}) r`,
      [this.#from(), ranges, ...postgresScopeValues(this.#scope)],
    );
    return new Map(rows.map(({ id, hash }) => [id, wrapped(hash)]));
  }

  async rows(ids: readonly bigint[]): Promise<Map<bigint, Row>> {
    const { rows } = await this.#sql.query<RowAnswer>(
      `SELECT id::text, content_id::text, user_id::text, event_type, us::text, duration_ms, device, slug, title, content_type,
         length_seconds, pct::text FROM (${this.#events(`e.event_ts >= $1 AND e.id = ANY($2::bigint[]) AND ${postgresScope(3)}`)}) r`,
      [this.#from(), ids, ...postgresScopeValues(this.#scope)],
    );
    return new Map(rows.map((answer) => [BigInt(answer.id), toRow(answer)]));
  }

  /** Number of cells and sum of their hashes for each period. */
  async periodSums(rollup: Rollup): Promise<Map<bigint, RangeSum>> {
    const cells = this.#cellsSql(rollup, 'e.event_ts >= $1');
    const { rows } = await this.#sql.query<{ period: bigint; n: bigint; sum: string }>(
      `SELECT period, count(*) AS n, sum(${hashed(
        `concat_ws('|', content_id, ${sized('content_type')}, coalesce(${sized('device')}, '~'), ${MEASURE_NAMES})`,
      )})::text AS sum FROM (${cells}) c WHERE period >= $2 GROUP BY period`,
      // Only whole periods can be compared.
      [this.#from(), this.#since === null ? 0 : Math.ceil(this.#since.getTime() / 1_000)],
    );
    return new Map(rows.map(({ period, n, sum }) => [period, { rows: Number(n), sum: wrapped(sum) }]));
  }

  /** The cells of some periods, in ascending order. */
  async cells(rollup: Rollup, periods: readonly bigint[]): Promise<Map<string, { cell: Cell; sums: Sums }>> {
    const low = periods[0] ?? 0n;
    const high = (periods.at(-1) ?? 0n) + BigInt(rollup.seconds);
    const bounds =
      'e.event_ts >= $1 AND e.event_ts >= to_timestamp($3::bigint) AND e.event_ts < to_timestamp($4::bigint)';
    const { rows } = await this.#sql.query<CellAnswer>(
      `SELECT period::text, content_id::text, content_type, device, ARRAY[${MEASURE_NAMES}]::text[] AS sums
       FROM (${this.#cellsSql(rollup, bounds)}) c WHERE period = ANY($2::bigint[])`,
      [this.#from(), periods, low, high],
    );
    return cellMap(rows);
  }

  /** Sums by content of the events in [startMs, endMs). */
  async contentSums(startMs: number, endMs: number): Promise<Map<string, Sums>> {
    const { rows } = await this.#sql.query<{ content_id: string; sums: string[] }>(
      `SELECT content_id::text, ARRAY[${measureSql('postgres', { pct: 'pct' }).join(', ')}]::text[] AS sums
       FROM (${this.#events('e.event_ts >= to_timestamp($1::numeric / 1000) AND e.event_ts < to_timestamp($2::numeric / 1000)')}) r
       GROUP BY content_id`,
      [startMs, endMs],
    );
    return new Map(rows.map(({ content_id, sums }) => [content_id, sums.map(BigInt)]));
  }

  /** What contents are called. */
  async names(contentIds: readonly string[]): Promise<Map<string, string>> {
    const { rows } = await this.#sql.query<{ id: string; slug: string; title: string; content_type: string }>(
      'SELECT id::text, slug, title, content_type FROM content WHERE id = ANY($1::uuid[])',
      [contentIds],
    );
    return new Map(rows.map((row) => [row.id, nameText(row.slug, row.title, row.content_type)]));
  }

  /** Hash of each content (`contentText`), by id. */
  async contentHashes(): Promise<Map<string, bigint>> {
    const { rows } = await this.#sql.query<{ id: string; hash: bigint }>(
      `SELECT id::text, ${hashed(CONTENT_TEXT)} AS hash FROM content`,
    );
    return new Map(rows.map(({ id, hash }) => [id, wrapped(hash)]));
  }

  /** The texts that are hashed. */
  async contentTexts(ids: readonly string[]): Promise<Map<string, string>> {
    const { rows } = await this.#sql.query<{ id: string; text: string }>(
      `SELECT id::text, ${CONTENT_TEXT} AS text FROM content WHERE id = ANY($1::uuid[])`,
      [ids],
    );
    return new Map(rows.map(({ id, text }) => [id, text]));
  }

  #events(where: string): string {
    return eventsSql(this.#pct, where);
  }

  #cellsSql(rollup: Rollup, where: string): string {
    const measures = measureSql('postgres', { pct: 'pct' }).map((sql, index) => `${sql} AS m${index}`);
    return `SELECT ${periodSql(rollup, 'postgres', 'us')} AS period, content_id, content_type, device, ${measures.join(', ')}
      FROM (${this.#events(where)}) r WHERE us IS NOT NULL GROUP BY 1, 2, 3, 4`;
  }

  #from(): Date | string {
    return this.#since ?? '-infinity';
  }
}

const MEASURE_NAMES = measureSql('postgres', { pct: 'pct' })
  .map((_, index) => `m${index}`)
  .join(', ');

/** Slug, title and type as one text. */
export function nameText(slug: string, title: string, contentType: string): string {
  return JSON.stringify([slug, title, contentType]);
}

export interface CellAnswer {
  readonly period: string;
  readonly content_id: string;
  readonly content_type: string;
  readonly device: string | null;
  readonly sums: readonly string[];
}

export function cellKey({ period, contentId, contentType, device }: Cell): string {
  return JSON.stringify([String(period), contentId, contentType, device]);
}

export function cellMap(answers: readonly CellAnswer[]): Map<string, { cell: Cell; sums: Sums }> {
  return new Map(
    answers.map((answer) => {
      const { period, content_id: contentId, content_type: contentType, device } = answer;
      const cell = { period: BigInt(period), contentId, contentType, device };
      return [cellKey(cell), { cell, sums: answer.sums.map(BigInt) }];
    }),
  );
}

export interface SourceOptions extends SnapshotWork {
  readonly since: Date | null;
  /** Further limits of the rows; sums of periods and contents know none. */
  readonly scope: RowScope;
  /** The most percent that an event counts for, in basis points. */
  readonly maxPctBp: number | null;
}

/** Calls `work` with Postgres as of an exactly known position. Throws as `withSnapshot`. */
export async function withSource<T>(options: SourceOptions, work: (source: Source) => Promise<T>): Promise<T> {
  return await withSnapshot(options, async (sql, position) => await work(new Source(sql, position, options)));
}
