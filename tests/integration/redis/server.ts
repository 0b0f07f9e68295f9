/** A redis-server of a test's own, with its data in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { resolveJars } from '../../../infra/native/jars.ts';
import { redisServer } from '../../../infra/native/redis.ts';
import { onPath } from '../../../infra/native/tools.ts';

const DEADLINE_MS = 15_000;

export interface TestRedis {
  readonly port: number;
  readonly url: string;
  /** For looking and disturbing. */
  readonly admin: Redis;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port and folder, and waits until it answers. */
  start(): Promise<void>;
  /** Kills it and removes its folder. */
  stop(): Promise<void>;
}

/** Waits for a condition, with a deadline. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Starts redis-server on the first free port from `firstPort` on. */
export async function startRedis(
  firstPort: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<TestRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  // Files that run at the same time search in places of their own: what one has found free is bound only a moment later.
  const port = await freePort(firstPort + 100 * Number(process.env.VITEST_POOL_ID ?? 0));
  const binary = onPath('redis-server') ?? redisServer(await resolveJars());
  const admin = new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    retryStrategy: () => 20,
    maxRetriesPerRequest: 1,
  });
  admin.on('error', () => {});
  let child: ChildProcess | undefined;
  let exited: Promise<void> = Promise.resolve();
  const all = { bind: '127.0.0.1', port: String(port), dir, appendonly: 'yes', save: '', ...settings };
  const server: TestRedis = {
    port,
    url: `redis://127.0.0.1:${port}`,
    admin,
    async kill() {
      child?.kill('SIGKILL');
      await exited;
    },
    async start() {
      const started = spawn(
        binary,
        Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
        {
          stdio: 'ignore',
        },
      );
      child = started;
      exited = new Promise((resolve) => {
        started.once('exit', () => resolve());
        started.once('error', () => resolve());
      });
      await until('redis-server answers', async () => {
        if (started.exitCode !== null) throw new Error('redis-server has ended');
        return (await admin.ping()) === 'PONG' && !(await admin.info('persistence')).includes('loading:1');
      });
    },
    async stop() {
      admin.disconnect();
      await server.kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + 10; port += 1) {
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error(`no free port from ${first} on`);
}
