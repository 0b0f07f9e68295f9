/** What a backfill is to read, and cutting it into pieces by a key. */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { type BackfillTable, conditionOf, type RowRange } from './condition.ts';

/** One table to be read; kept with the run. A place among its rows is a list of SQL literals, for instance `'7', '2026-01-02 14:30:00+00'`. */
export interface Step {
  readonly table: string;
  /** By which Debezium cuts its chunks; null: by the columns of the record key. */
  readonly chunkBy: string | null;
  /** The columns by which pieces are cut, as SQL lists them; null: all in one piece. */
  readonly order: string | null;
  readonly condition: string | null;
  /** Places of the first and last row when the run was planned; what is inserted later is captured as it comes. Null where there was none. */
  readonly bounds: { readonly first: string; readonly last: string } | null;
  readonly rows: number;
}

/** A piece that can be asked for: the rows behind one place and up to another. */
export interface Piece {
  readonly to: string | null;
  readonly rows: number;
  readonly filter: string | null;
}

/** The place of a row as an SQL expression. The text of a time has its offset, so it means the same in another session. */
const placeOf = (order: string): string =>
  order
    .split(', ')
    .map((column) => `quote_literal(${column}::text)`)
    .join(` || ', ' || `);

/** The tables in order, with their rows counted. `sql` should give up early: an estimate is not worth a long query. */
export async function planSteps(sql: Sql, table: BackfillTable, range: RowRange): Promise<readonly Step[]> {
  const whole: RowRange = { from: null, to: null, groups: [], ids: [], where: null };
  const first = await Promise.all(table.first.map(async (one) => await planStep(sql, one, conditionOf(one, whole))));
  return [...first, await planStep(sql, table, conditionOf(table, range))];
}

async function planStep(sql: Sql, table: BackfillTable, condition: string | null): Promise<Step> {
  const { name, chunkBy } = table;
  const order = table.order.length === 0 ? null : table.order.join(', ');
  const where = condition ?? 'true';
  const end = (direction: 'ASC' | 'DESC') =>
    order === null
      ? 'NULL'
      : `(SELECT ${placeOf(order)} FROM ${name} WHERE ${where} ORDER BY ${sorted(order, direction)} LIMIT 1)`;
  const { rows } = await sql.query<{ n: bigint; first: string | null; last: string | null }>(
    `SELECT count(*) AS n, ${end('ASC')} AS first, ${end('DESC')} AS last FROM ${name} WHERE ${where}`,
  );
  const { n, first, last } = rows[0]!;
  const bounds = first === null || last === null ? null : { first, last };
  return { table: name, chunkBy, order, condition, bounds, rows: Number(n) };
}

const sorted = (order: string, direction: 'ASC' | 'DESC'): string =>
  `${order.replaceAll(',', ` ${direction},`)} ${direction}`;

/** The next piece of at most `maxRows` rows; null when the step is done. `doneTo` null: nothing is yet. */
export async function nextPiece(
  sql: Sql,
  step: Step,
  at: { readonly doneTo: string | null; readonly started: boolean; readonly maxRows: number },
): Promise<Piece | null> {
  const { table, order, condition, bounds, rows } = step;
  if (order === null) return at.started || rows === 0 ? null : { to: null, rows, filter: condition };
  if (bounds === null) return null;
  const after = at.doneTo === null ? `(${order}) >= (${bounds.first})` : `(${order}) > (${at.doneTo})`;
  const also = condition === null ? '' : ` AND (${condition})`;
  const found = await sql.query<{ place: string; n: bigint }>(
    `SELECT ${placeOf(order)} AS place, n FROM (
       SELECT ${order}, row_number() OVER (ORDER BY ${order}) AS n FROM ${table}
       WHERE ${after} AND (${order}) <= (${bounds.last})${also} ORDER BY ${order} LIMIT $1) piece ORDER BY n DESC LIMIT 1`,
    [at.maxRows],
  );
  const last = found.rows[0];
  if (last === undefined) return null;
  return { to: last.place, rows: Number(last.n), filter: `${after} AND (${order}) <= (${last.place})${also}` };
}
