/** Postgres as of one position. */
import type { Lsn } from '../../../connectors/postgres/lsn.ts';
import { PostgresPool, type Sql } from '../../../connectors/postgres/pool.ts';
import { withExportedSnapshot } from '../../../connectors/postgres/snapshot.ts';
import type { SourcePosition } from './report.ts';

const STATEMENT_TIMEOUT_MS = 30 * 60_000;

export interface SnapshotWork {
  /** A role that may create a replication slot. */
  readonly url: string;
  /** For the snapshot: it waits for every transaction that is writing. */
  readonly snapshotTimeoutMs: number;
}

/**
 * Calls `work` with Postgres as of an exactly known position. The slot that names the position is given up before `work`
 * begins; the transaction that imported the snapshot keeps it. Throws as `withExportedSnapshot` and `postgresError`.
 */
export async function withSnapshot<T>(
  options: SnapshotWork,
  work: (sql: Sql, position: SourcePosition) => Promise<T>,
): Promise<T> {
  const { url } = options;
  const applicationName = 'sluice-reconcile';
  const pool = new PostgresPool({ url, applicationName, maxConnections: 1, statementTimeoutMs: STATEMENT_TIMEOUT_MS });
  try {
    let running: Promise<T> | undefined;
    const exporting = { url, applicationName, createTimeoutMs: options.snapshotTimeoutMs };
    await withExportedSnapshot(exporting, async ({ lsn, snapshotName }) => {
      const imported = Promise.withResolvers<void>();
      running = pool.transaction(
        async (sql) => {
          const position = await positionOf(sql, lsn);
          imported.resolve();
          return await work(sql, position);
        },
        { kind: 'snapshot', snapshotName },
      );
      // What it throws is thrown below; until then it must not count as unhandled.
      running.catch(() => undefined);
      await Promise.race([imported.promise, running]);
    });
    return await running!;
  } finally {
    await pool.close();
  }
}

/** Throws as `postgresError` when nobody answers: told at once, and not after something else was waited for. */
export async function askPostgres(url: string): Promise<void> {
  const pool = new PostgresPool({ url, applicationName: 'sluice-reconcile', maxConnections: 1 });
  try {
    await pool.query('SELECT 1');
  } finally {
    await pool.close();
  }
}

async function positionOf(sql: Sql, lsn: Lsn): Promise<SourcePosition> {
  // Sinks are waited for with this transaction open.
  await sql.query('SET LOCAL idle_in_transaction_session_timeout = 0');
  await sql.query("SET LOCAL TimeZone = 'UTC'");
  // Every row is sorted or hashed several times: with the usual 4 MB on disk. Compiling takes longer than what it saves over many partitions.
  await sql.query("SET LOCAL work_mem = '64MB'");
  await sql.query('SET LOCAL jit = off');
  const { rows } = await sql.query<{ snapshot: string; ms: bigint }>(
    'SELECT pg_current_snapshot()::text AS snapshot, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms',
  );
  return { lsn, timeMs: Number(rows[0]!.ms), ...parseSnapshot(rows[0]!.snapshot) };
}

/** `xmin:xmax:xip,xip,…`: https://www.postgresql.org/docs/18/functions-info.html#FUNCTIONS-INFO-SNAPSHOT */
export function parseSnapshot(text: string): Pick<SourcePosition, 'xmax' | 'inProgress'> {
  const match = /^\d+:(\d+):([\d,]*)$/.exec(text);
  if (match === null) throw new TypeError(`Not a snapshot: ${JSON.stringify(text)}`);
  return { xmax: BigInt(match[1]!), inProgress: match[2] === '' ? [] : match[2]!.split(',').map(BigInt) };
}
