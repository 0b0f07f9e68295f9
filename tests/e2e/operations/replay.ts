/**
 * Replays on the real stack while events flow: each rebuilds one thing, nobody who reads sees it empty or in part, and everything equals
 * Postgres afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseClient, selectRows } from '../../../connectors/clickhouse/client.ts';
import { REPOSITORY } from '../../../infra/native/layout.ts';
import { clickHouseConfig, loadConfig } from '../../../pipelines/config.ts';
import type { Pipeline } from '../../support/pipeline.ts';

let pipeline: Pipeline;
let redis: Redis;
let green: ChildProcess | null = null;
const folder = mkdtempSync(join(tmpdir(), 'sluice-replay-'));
async function prepare(shared: Pipeline): Promise<void> {
  pipeline = shared;
  redis = new Redis(pipeline.env.SLUICE_REDIS_URL!);
  await pipeline.generate(...traffic(1), '--rate', '2000', '--seconds', '4');
  await expectEqual();
}

async function cleanUp(): Promise<void> {
  green?.kill('SIGKILL');
  redis?.disconnect();
  rmSync(folder, { recursive: true, force: true });
}

const traffic = (seed: number) => [
  ...['--rate', '300', '--updates', '8', '--deletes', '3', '--late', '5'],
  ...['--contents', '200', '--content-edits', '30', '--seed', String(seed)],
];
const during = <T>(seed: number, work: () => Promise<T>) => pipeline.during(traffic(seed), work);

async function expectEqual(): Promise<void> {
  const { report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
}

async function replay(...args: readonly string[]): Promise<{ readonly result: Record<string, unknown> }> {
  const { code, output } = await pipeline.script('replay.ts', ...args, '--json');
  expect(code, output).toBe(0);
  const last = output
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('{'));
  return JSON.parse(last!) as { result: Record<string, unknown> };
}

const BOARD = 'lb:{engagement:1d}:events';

/** Often enough to meet any state that a replay could show for longer than a moment, and leaves the machine to the replay. */
const LOOK_MS = 20;

/** Looks at something again and again; the least of what it saw. */
function watch(look: () => Promise<number>): { least(): Promise<number> } {
  let stopped = false;
  let least = Number.POSITIVE_INFINITY;
  const ended = (async () => {
    while (!stopped) {
      least = Math.min(least, await look());
      await pause(LOOK_MS);
    }
  })();
  ended.catch(() => {});
  return {
    least: async () => {
      stopped = true;
      await ended;
      return least;
    },
  };
}

/** One of its own, one of the usual ones with other panes, one less. */
const WINDOWS = ['--windows', '10m,3h/5m,1d/1h,1w'];

/** On a stack that has come to rest; leaves the enrichment with other logic. */
export function describeReplay(shared: () => Pipeline): void {
  describe('replay', () => {
    beforeAll(async () => await prepare(shared()));
    afterAll(cleanUp);

    it('rebuilds ClickHouse', async () => {
      const client = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
      try {
        const count = async () => {
          const [row] = await selectRows<{ events: string }>(
            client,
            'SELECT sum(events) AS events FROM engagement_weekly',
          );
          return Number(row!.events);
        };
        await during(2, async () => {
          await client.command({ query: 'INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store' });
          await client.command({
            query: 'ALTER TABLE engagement_hourly_store UPDATE plays = plays + 1 WHERE 1 SETTINGS mutations_sync = 2',
          });
          const before = await count();
          const weekly = watch(count);
          const compared = await replay('--sink', 'clickhouse', '--compare', '--yes');
          const differences = compared.result.differences as readonly { table: string; changed: number }[];
          expect(differences.find(({ table }) => table === 'engagement_daily_store')!.changed).toBeGreaterThan(0);
          expect(differences.find(({ table }) => table === 'engagement_weekly_store')).toMatchObject({
            ...{ missing: 0, extra: 0, changed: 0 },
          });
          const { result } = await replay('--sink', 'clickhouse', '--yes');
          expect(result.tables).toContain('engagement_daily_store');
          // Deletes go on: a tenth is more than they can take, and less than any partial state would miss.
          expect(await weekly.least()).toBeGreaterThan(before * 0.9);
        });
        await expectEqual();
      } finally {
        await client.close();
      }
    });

    it('rebuilds Redis', async () => {
      await during(3, async () => {
        const [first] = await redis.zrevrange(BOARD, 0, 0);
        await redis.zadd(BOARD, 1_000_000, '00000000-0000-4000-8000-000000000000');
        await redis.zrem(BOARD, first!);
        const board = watch(async () => await redis.zcard(BOARD));
        await replay('--sink', 'redis', '--yes');
        expect(await board.least()).toBeGreaterThan(50);
      });
      await expectEqual();
    });

    it('says that the public topic on the same cluster needs no replay', async () => {
      const { code, output } = await pipeline.script('replay.ts', '--sink', 'external', '--yes');
      expect(code).toBe(2);
      expect(output).toMatch(/REPLAY_NOT_NEEDED/);
    });

    it('rolls other rules and windows of the leaderboards out over history, and takes the old ones away', async () => {
      await replay(
        '--stage',
        'leaderboard',
        '--variant',
        'b',
        '--prepare',
        '--limit',
        '40',
        '--min-samples',
        '3',
        ...WINDOWS,
        '--yes',
      );
      green = spawn(process.execPath, [join(REPOSITORY, 'scripts', 'worker.ts'), 'engagement.leaderboard'], {
        env: { ...pipeline.env, SLUICE_LEADERBOARD_VARIANT: 'b', SLUICE_STATE_DIR: folder, SLUICE_METRICS_PORT: '0' },
        stdio: 'ignore',
      });
      await during(4, async () => {
        const { result } = await replay('--stage', 'leaderboard', '--variant', 'b', '--compare');
        const changes = result.changes as readonly { board: string; live: unknown; other: unknown }[];
        const weekly = changes.filter(({ board }) => board === '1w events');
        // Fewer places take contents off; fewer samples put some on.
        expect(weekly.filter(({ other }) => other === null).length).toBeGreaterThan(0);
        expect(weekly.filter(({ live, other }) => live !== null && other !== null)).toEqual([]);
        const board = watch(async () => await redis.zcard(BOARD));
        await replay('--stage', 'leaderboard', '--variant', 'b', '--swap', '--yes');
        expect(await redis.zcard(BOARD)).toBeLessThanOrEqual(40 * 4);
        expect(await board.least()).toBeGreaterThanOrEqual(40);
      });
      expect(await redis.zcard('lb:{engagement:3h}:events')).toBeGreaterThan(0);
      expect(await redis.keys('lb:{engagement:1h}:*')).toEqual([]);
      const { report } = await pipeline.reconcile();
      expect(Object.keys((report as unknown as { sinks: object }).sinks)).toContain('redis.3h');
      await expectEqual();

      // The worker of the pipeline has followed; the one that was pinned is not needed any more.
      green.kill('SIGTERM');
      await once(green, 'exit');
      await Promise.all(pipeline.workers.map(({ process }) => process.untilUp(60_000)));
      await replay('--stage', 'leaderboard', '--variant', 'a', '--retire', '--yes');
      await during(5, async () => {});
      await expectEqual();
    });

    it('rolls other logic of the enrichment out over history', async () => {
      const client = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
      try {
        const greatest = async () => {
          const query = 'SELECT max(engagement_pct_bp) AS pct, count() AS rows FROM engagement_events';
          const [row] = await selectRows<{ pct: string; rows: string }>(client, query);
          return { pct: Number(row!.pct), rows: Number(row!.rows) };
        };
        const before = await greatest();
        expect(before.pct).toBeGreaterThan(6_000);
        const { result: compared } = await replay('--stage', 'enrich', '--max-pct', '60', '--compare');
        expect(compared.rows).toBe(before.rows);
        expect(compared.changed).toBeGreaterThan(0);
        await during(6, async () => {
          const { result } = await replay('--stage', 'enrich', '--max-pct', '60', '--swap', '--yes');
          expect(result).toEqual({ deployment: { revision: 1, maxPctBp: 6_000 }, edition: '1.1' });
        });
        await expectEqual();
        expect((await greatest()).pct).toBe(6_000);
        expect((await replay('--stage', 'enrich', '--compare')).result.changed).toBe(0);
      } finally {
        await client.close();
      }
    });
  });
}
