/**
 * Promise P1 on the real stack: whatever is killed while inserts, updates, deletes and content edits flow, what ClickHouse, Redis and
 * the public topic show equals the same SQL over Postgres.
 */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WorkerChild } from '../../scripts/start/children.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

let pipeline: Pipeline;
beforeAll(async () => {
  pipeline = await startPipeline({ instances: 2 });
});
afterAll(async () => {
  await pipeline?.stop();
});

const traffic = (seed: number) => [
  ...['--rate', '600', '--updates', '8', '--deletes', '3', '--late', '5'],
  ...['--contents', '300', '--content-edits', '120', '--seed', String(seed)],
];

const one = (name: string, instance: number): WorkerChild => {
  return pipeline.workers.filter((worker) => worker.name === name)[instance]!;
};

const WORKERS = ['engagement.enrich', 'engagement.leaderboard', 'engagement.sink.clickhouse', 'engagement.sink.redis'];
const UNTIL = { timeout: 60_000, interval: 100 };

/** How many partitions each instance of a worker turns; null: it does not make progress. */
async function owned(name: string): Promise<readonly (number | null)[]> {
  const answers = await Promise.all([0, 1].map((instance) => one(name, instance).scraper.ready()));
  return answers.map(({ ok, reason }) => (ok ? Number(/^(\d+) partitions$/.exec(reason)?.[1]) : null));
}

/** Waits until both instances of every worker make progress and share its partitions. */
async function untilWhole(): Promise<void> {
  for (const name of WORKERS) await expect.poll(async () => await owned(name), UNTIL).toEqual([2, 2]);
}

async function expectEqual(): Promise<void> {
  const { code, report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  expect(code).toBe(0);
}

it('is equal with two instances of each worker and no faults', async () => {
  await pipeline.during(traffic(1), untilWhole);
  await expectEqual();
});

it('is equal after SIGKILL of each worker in turn while events flow', async () => {
  await pipeline.during(traffic(2), async () => {
    for (const name of WORKERS) {
      const { process } = one(name, 0);
      await process.kill('SIGKILL');
      await process.untilUp(60_000);
      await one(name, 1).process.kill('SIGKILL');
    }
    await untilWhole();
  });
  await expectEqual();
});

it.each(['connect', 'kafka', 'redis', 'clickhouse'] as const)(
  'is equal after SIGKILL of %s while events flow',
  async (service) => {
    await pipeline.during(traffic(service.length), async () => {
      await pipeline.stack.kill(service, 'SIGKILL');
      await pipeline.stack.untilUp(service);
      await untilWhole();
    });
    await expectEqual();
  },
);

it('is equal after a Redis that has lost its data was rebuilt', async () => {
  const redis = new Redis(pipeline.env.SLUICE_REDIS_URL!);
  await pipeline.during(traffic(9), async () => await redis.flushall());
  redis.disconnect();
  await expectEqual();
});

it('is equal after a paused worker wakes up when another has taken over', async () => {
  await pipeline.during(traffic(10), async () => {
    for (const name of WORKERS) await one(name, 0).process.kill('SIGSTOP');
    // The session timeout is 6 s: when the other instance owns all four partitions, the paused one is a zombie.
    for (const name of WORKERS) await expect.poll(async () => await alone(name), UNTIL).toBe('4 partitions');
    for (const name of WORKERS) await one(name, 0).process.kill('SIGCONT');
    await untilWhole();
  });
  await expectEqual();
});

/** What the second instance of a worker says. */
async function alone(name: string): Promise<string> {
  return (await one(name, 1).scraper.ready()).reason;
}
