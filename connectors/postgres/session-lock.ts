/** A lock that a process holds for as long as it lives: the server gives it up with the connection, however that ends. */
import pg from 'pg';
import { postgresError } from './errors.ts';
import { clientConfig } from './pool.ts';

export interface SessionLock {
  release(): Promise<void>;
}

/** Takes the advisory lock, or returns null when another session holds it. Who loses the connection loses the lock without notice. */
export async function trySessionLock(
  options: { readonly url: string; readonly applicationName: string },
  key: bigint,
): Promise<SessionLock | null> {
  const client = new pg.Client(clientConfig(options));
  client.on('error', () => undefined);
  const release = async () => await client.end().catch(() => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock($1) AS held', [key]);
    if (rows[0]?.held === true) return { release };
  } catch (error) {
    await release();
    throw postgresError(error, 'take a lock');
  }
  await release();
  return null;
}
