/**
 * A ClickHouse for development and tests: the real engine (chdb) behind as much of the server's HTTP interface as
 * `@clickhouse/client`, curl and Grafana use. Production runs the official server; the workers cannot tell.
 *
 *   node infra/native/clickhouse-front.ts <data folder> <port, 0 = any free one>
 *
 * Environment: CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (empty admits everyone), CLICKHOUSE_FRONT_MAX_MEMORY_BYTES,
 * CLICKHOUSE_FRONT_MAX_BODY_BYTES. Prints one line with the address when it is ready. Exit 0 after SIGTERM or SIGINT, 1 when it cannot start.
 */
import { getPriority, setPriority } from 'node:os';
import { resolve } from 'node:path';

// On a machine that runs everything, merges and large inserts make way for those who answer within a second. Threads begin with the
// priority of the one that makes them. One that was started with less keeps it: to ask for more takes rights.
setPriority(Math.max(getPriority(), 5));
// The engine works on libuv's threads, one per running query; the pool is sized before its first use.
process.env.UV_THREADPOOL_SIZE ??= '8';
const { openEngine } = await import('./clickhouse-front/engine.ts');
const { serve } = await import('./clickhouse-front/server.ts');

const MIB = 1024 * 1024;
const GRACE_MS = 20_000;

function bytes(name: string, fallback: number): number {
  const value = Number(process.env[name] ?? fallback);
  if (!Number.isSafeInteger(value) || value <= 0) throw new Error(`${name} must be a positive number of bytes`);
  return value;
}

async function main(): Promise<void> {
  const [dataDir, port] = process.argv.slice(2);
  if (dataDir === undefined || port === undefined || !/^\d+$/.test(port)) {
    throw new Error('Usage: clickhouse-front.ts <data folder> <port>');
  }
  const engine = openEngine({
    dataDir: resolve(dataDir),
    maxMemoryBytes: bytes('CLICKHOUSE_FRONT_MAX_MEMORY_BYTES', 1024 * MIB),
  });
  const front = await serve(engine, {
    port: Number(port),
    user: process.env.CLICKHOUSE_USER ?? 'default',
    password: process.env.CLICKHOUSE_PASSWORD ?? '',
    maxBodyBytes: bytes('CLICKHOUSE_FRONT_MAX_BODY_BYTES', 128 * MIB),
    maxConcurrentQueries: 64,
  }).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await front.close(GRACE_MS);
    await engine.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
  console.log(`clickhouse ready on http://127.0.0.1:${front.port} (${resolve(dataDir)})`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
});
