/**
 * The generator's traffic around a piece of work: it flows before the work begins and for as long as the work takes, within bounds. Rows that
 * pile up behind slow work would make it slower still: each edit of a content corrects all of its rows.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { REPOSITORY } from '../../infra/native/layout.ts';

/** So much WAL is traffic, whatever it writes, and no heartbeat. */
const FLOWING_BYTES = 64 * 1024;
const DEADLINE_MS = 60_000;
const LONGEST_SECONDS = 30;

/**
 * Runs `work` once the generator is seen writing, then ends the generator after a whole transaction.
 * @param traffic the generator's arguments but for `--seconds`
 */
export async function trafficDuring<T>(
  env: NodeJS.ProcessEnv,
  traffic: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  const postgres = new pg.Client({ connectionString: env.SLUICE_POSTGRES_URL! });
  await postgres.connect();
  const generator = startGenerator(env, traffic);
  const untilFlowing = async () => {
    const begin = await written(postgres);
    const deadline = performance.now() + DEADLINE_MS;
    while (!generator.ended() && (await written(postgres)) - begin < FLOWING_BYTES) {
      if (performance.now() > deadline) throw new Error(`no traffic within ${DEADLINE_MS} ms`);
      await Promise.race([pause(20), generator.failed]);
    }
  };
  try {
    await untilFlowing();
    const result = await Promise.race([work(), generator.failed]);
    await untilFlowing();
    return result;
  } finally {
    await generator.stop();
    await postgres.end();
  }
}

async function written(postgres: pg.Client): Promise<number> {
  const { rows } = await postgres.query<{ bytes: number }>(
    "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS bytes",
  );
  return rows[0]!.bytes;
}

function startGenerator(env: NodeJS.ProcessEnv, traffic: readonly string[]) {
  const args = [join(REPOSITORY, 'scripts', 'generate.ts'), ...traffic, '--seconds', String(LONGEST_SECONDS)];
  const child = spawn(process.execPath, args, { cwd: REPOSITORY, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-8_192);
    });
  }
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  /** Never resolves. */
  const failed = closed.then((): Promise<never> => {
    if (child.exitCode === 0) return new Promise(() => {});
    throw new Error(`the traffic has ended with ${child.exitCode ?? child.signalCode}:\n${output}`);
  });
  failed.catch(() => undefined);
  return {
    failed,
    ended: () => child.exitCode !== null || child.signalCode !== null,
    async stop(): Promise<void> {
      child.kill('SIGTERM');
      await closed;
      if (child.exitCode !== 0) await failed;
    },
  };
}
