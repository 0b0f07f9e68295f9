/** What a backfill is to read, and cutting it into pieces by the primary key. */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { type BackfillTable, conditionOf, type RowRange } from './condition.ts';

/** One table to be read; kept with the run. Ids as text, since JSON has no such numbers. */
export interface Step {
  readonly table: string;
  /** By which Debezium cuts its chunks. */
  readonly chunkBy: string;
  /** The column by which pieces are cut; null: all in one piece. */
  readonly id: string | null;
  readonly condition: string | null;
  /** Ids of the first and last row when the run was planned; what is inserted later is captured as it comes. Null where there was none. */
  readonly bounds: { readonly first: string; readonly last: string } | null;
  readonly rows: number;
}

/** A piece that can be asked for: ids above `after` up to `to`. */
export interface Piece {
  readonly to: string | null;
  readonly rows: number;
  readonly filter: string | null;
}

/** The tables in order, with their rows counted. `sql` should give up early: an estimate is not worth a long query. */
export async function planSteps(sql: Sql, table: BackfillTable, range: RowRange): Promise<readonly Step[]> {
  const whole: RowRange = { from: null, to: null, groups: [], ids: [], where: null };
  const first = await Promise.all(table.first.map(async (one) => await planStep(sql, one, conditionOf(one, whole))));
  return [...first, await planStep(sql, table, conditionOf(table, range))];
}

async function planStep(sql: Sql, table: BackfillTable, condition: string | null): Promise<Step> {
  const { name, id, key } = table;
  const bounds =
    id === null ? 'NULL::bigint AS first, NULL::bigint AS last' : `min(${id}) AS first, max(${id}) AS last`;
  const { rows } = await sql.query<{ n: bigint; first: bigint | null; last: bigint | null }>(
    `SELECT count(*) AS n, ${bounds} FROM ${name} WHERE ${condition ?? 'true'}`,
  );
  const { n, first, last } = rows[0]!;
  return {
    table: name,
    chunkBy: key,
    id,
    condition,
    bounds: first === null || last === null ? null : { first: String(first), last: String(last) },
    rows: Number(n),
  };
}

/** The next piece of at most `maxRows` rows; null when the step is done. `doneTo` null: nothing is yet. */
export async function nextPiece(
  sql: Sql,
  step: Step,
  at: { readonly doneTo: string | null; readonly started: boolean; readonly maxRows: number },
): Promise<Piece | null> {
  const { table, id, condition, bounds, rows } = step;
  if (id === null) return at.started || rows === 0 ? null : { to: null, rows, filter: condition };
  if (bounds === null) return null;
  const after = at.doneTo ?? String(BigInt(bounds.first) - 1n);
  const found = await sql.query<{ to: bigint | null; n: bigint }>(
    `SELECT max(${id}) AS to, count(*) AS n FROM (
       SELECT ${id} FROM ${table} WHERE ${id} > $1 AND ${id} <= $2 AND (${condition ?? 'true'}) ORDER BY ${id} LIMIT $3) piece`,
    [BigInt(after), BigInt(bounds.last), at.maxRows],
  );
  const { to, n } = found.rows[0]!;
  if (to === null) return null;
  const within = `${id} > ${after} AND ${id} <= ${to}`;
  return { to: String(to), rows: Number(n), filter: condition === null ? within : `${within} AND (${condition})` };
}
