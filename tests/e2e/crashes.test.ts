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

const traffic = (seconds: number, seed: number) =>
  pipeline.generate(
    ...['--rate', '600', '--seconds', String(seconds), '--updates', '8', '--deletes', '3', '--late', '5'],
    ...['--contents', '300', '--content-edits', '120', '--seed', String(seed)],
  );

const one = (name: string, instance: number): WorkerChild => {
  return pipeline.workers.filter((worker) => worker.name === name)[instance]!;
};

/** Waits until every worker that should run answers and somebody owns each of its partitions. */
async function untilWhole(): Promise<void> {
  await Promise.all(pipeline.workers.map(({ process }) => process.untilUp(60_000)));
}

async function expectEqual(): Promise<void> {
  const { code, report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  expect(code).toBe(0);
}

it('is equal with two instances of each worker and no faults', async () => {
  await traffic(6, 1);
  await expectEqual();
});

it('is equal after SIGKILL of each worker in turn while events flow', async () => {
  const flowing = traffic(24, 2);
  for (const name of ['enrich', 'leaderboard', 'sink.clickhouse', 'sink.redis']) {
    const { process } = one(`engagement.${name}`, 0);
    await process.kill('SIGKILL');
    await process.untilUp(60_000);
    await one(`engagement.${name}`, 1).process.kill('SIGKILL');
  }
  await flowing;
  await untilWhole();
  await expectEqual();
});

it.each(['connect', 'kafka', 'redis', 'clickhouse'] as const)(
  'is equal after SIGKILL of %s while events flow',
  async (service) => {
    const flowing = traffic(12, service.length);
    await pipeline.stack.kill(service, 'SIGKILL');
    await pipeline.stack.untilUp(service, 60_000);
    await flowing;
    await untilWhole();
    await expectEqual();
  },
);

it('is equal after a Redis that has lost its data was rebuilt', async () => {
  const flowing = traffic(6, 9);
  const redis = new Redis(pipeline.env.SLUICE_REDIS_URL!);
  await redis.flushall();
  redis.disconnect();
  await flowing;
  await expectEqual();
});

it('is equal after a paused worker wakes up when another has taken over', async () => {
  const names = ['engagement.enrich', 'engagement.leaderboard', 'engagement.sink.clickhouse', 'engagement.sink.redis'];
  const flowing = traffic(30, 10);
  for (const name of names) await one(name, 0).process.kill('SIGSTOP');
  // The session timeout is 6 s: when the other instance owns all four partitions, the paused one is a zombie.
  await expect.poll(async () => await ownsAll(names), { timeout: 60_000, interval: 500 }).toBe(true);
  for (const name of names) await one(name, 0).process.kill('SIGCONT');
  await flowing;
  await untilWhole();
  await expectEqual();
});

/** Whether the second instances report four partitions each. */
async function ownsAll(names: readonly string[]): Promise<boolean> {
  const answers = await Promise.all(names.map((name) => one(name, 1).scraper.ready()));
  return answers.every(({ ok, reason }) => ok && reason === '4 partitions');
}
