/** A lock that a process holds for as long as it lives: the server gives it up with the connection, however that ends. */
import pg from 'pg';
import { pause } from '../../engine/backoff.ts';
import { postgresError } from './errors.ts';
import { clientConfig } from './pool.ts';

export interface SessionLock {
  release(): Promise<void>;
}

export interface SessionLockOptions {
  readonly url: string;
  readonly applicationName: string;
  /** How long to ask again while another session holds it: the server takes a moment to notice that a process was killed. 0. */
  readonly waitMs?: number;
}

const ASK_EVERY_MS = 50;

/** For who may come right behind a predecessor that was killed. */
export const TAKEOVER_WAIT_MS = 2_000;

/** Takes the advisory lock, or returns null when another session holds it. Who loses the connection loses the lock without notice. */
export async function trySessionLock(options: SessionLockOptions, key: bigint): Promise<SessionLock | null> {
  const client = new pg.Client(clientConfig(options));
  client.on('error', () => undefined);
  const release = async () => await client.end().catch(() => undefined);
  try {
    await client.connect();
    const until = performance.now() + (options.waitMs ?? 0);
    for (;;) {
      const { rows } = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock($1) AS held', [key]);
      if (rows[0]?.held === true) return { release };
      if (performance.now() >= until) break;
      await pause(ASK_EVERY_MS);
    }
  } catch (error) {
    await release();
    throw postgresError(error, 'take a lock');
  }
  await release();
  return null;
}
