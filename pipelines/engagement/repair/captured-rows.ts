/** Rows of engagement_events with all their columns, as Debezium represents them (connectors/debezium/config.ts). */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import type { CapturedEvent } from '../captured-row.ts';

/** Those rows that there are. Throws as `postgresError`. */
export async function capturedRows(sql: Sql, ids: readonly bigint[]): Promise<ReadonlyMap<bigint, CapturedEvent>> {
  const { rows: columns } = await sql.query<{ name: string; type: string }>(
    `SELECT quote_ident(attname) AS name, atttypid::regtype::text AS type FROM pg_attribute
     WHERE attrelid = 'engagement_events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
  );
  const list = columns.map(({ name, type }) => `${represented(name, type)} AS ${name}`);
  const { rows } = await sql.query<CapturedEvent>(
    `SELECT ${list.join(', ')} FROM engagement_events WHERE id = ANY($1::bigint[])`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Numbers and booleans as they are, times in ISO 8601 with microseconds, everything else as text. */
function represented(column: string, type: string): string {
  switch (type) {
    case 'bigint':
    case 'integer':
    case 'smallint':
    case 'boolean':
    case 'real':
    case 'double precision':
      return column;
    case 'timestamp with time zone':
      return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
    default:
      return `${column}::text`;
  }
}
