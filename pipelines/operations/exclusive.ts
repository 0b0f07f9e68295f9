/** At most one of a kind of command at a time: a lock that goes with its holder, however that ends. */
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { SluiceError } from '../../engine/errors.ts';

/**
 * Runs `work` while holding the lock of that name in Postgres. Throws OPERATION_RUNNING (fatal) when somebody else holds it, else as
 * `postgresError`.
 */
export async function exclusively<T>(
  options: { readonly url: string; readonly name: string },
  work: () => Promise<T>,
): Promise<T> {
  const pool = new PostgresPool({ url: options.url, applicationName: `sluice-${options.name}`, maxConnections: 1 });
  try {
    return await pool.transaction(async (sql) => {
      await sql.query('SET LOCAL idle_in_transaction_session_timeout = 0');
      const { rows } = await sql.query<{ locked: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked',
        [`sluice.${options.name}`],
      );
      if (rows[0]?.locked !== true) {
        throw new SluiceError(`Another ${options.name} is running: wait for it, or end it first (npm run audit)`, {
          code: 'OPERATION_RUNNING',
          action: 'fatal',
        });
      }
      return await work();
    });
  } finally {
    await pool.close();
  }
}
