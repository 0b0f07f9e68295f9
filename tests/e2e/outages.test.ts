/**
 * Promise P7 on the real stack: a sink that is away or hangs stops nothing else, loses nothing and catches up alone, by itself; rows that
 * it refuses get their letters and the others land. Each ends in `reconcile` equal, and in no restart of a process.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickHouseClient } from '../../connectors/clickhouse/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { clickHouseConfig, loadConfig } from '../../pipelines/config.ts';
import type { WorkerChild } from '../../scripts/start/children.ts';
import { samples } from '../../scripts/start/worker-metrics.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';
import { proxyOf, type TcpProxy } from '../support/proxy.ts';

const CLICKHOUSE = 'engagement.sink.clickhouse';
const REDIS = 'engagement.sink.redis';
const OPEN = 2;
const WAIT = { timeout: 90_000, interval: 250 };

let pipeline: Pipeline;
let redis: TcpProxy;
let registry: TcpProxy;
beforeAll(async () => {
  pipeline = await startPipeline({
    instances: 1,
    workerEnv: async (env) => {
      redis = await proxyOf(env.SLUICE_REDIS_URL!);
      registry = await proxyOf(env.SLUICE_REGISTRY_URL!);
      return {
        SLUICE_REDIS_URL: redis.through(env.SLUICE_REDIS_URL!),
        SLUICE_REGISTRY_URL: registry.through(env.SLUICE_REGISTRY_URL!),
      };
    },
  });
});
afterAll(async () => {
  await pipeline?.stop();
  await redis?.close();
  await registry?.close();
});

const SECONDS = 4;
const RATE = 500;
const traffic = (seed: number) =>
  pipeline.generate(
    ...['--rate', String(RATE), '--seconds', String(SECONDS), '--updates', '8', '--deletes', '3'],
    ...['--contents', '100', '--content-edits', '60', '--seed', String(seed)],
  );

const worker = (name: string): WorkerChild => pipeline.workers.find((one) => one.name === name)!;
const total = async (name: string, metric: string): Promise<number> =>
  samples(await worker(name).scraper.page(), metric).reduce((sum, value) => sum + value, 0);
const records = (name: string) => total(name, 'sluice_records_total');
const breaker = (name: string) => total(name, 'sluice_breaker_state');
const isOpen = (name: string) => expect.poll(async () => await breaker(name), WAIT).toBe(OPEN);
const isClosed = (name: string) => expect.poll(async () => await breaker(name), WAIT).toBe(0);

async function expectEqual(): Promise<void> {
  const { report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  for (const { name, process } of pipeline.workers) expect(process.status.restarts, name).toBe(0);
}

/** All but this one go on while events flow, and this one waits: it has read nothing, and says so. */
async function othersGoOnWithout(away: string, seed: number): Promise<void> {
  const others = pipeline.workers.map(({ name }) => name).filter((name) => name !== away);
  const before = new Map<string, number>();
  for (const name of [away, ...others]) before.set(name, await records(name));
  await traffic(seed);
  for (const name of others) {
    const least = name === REDIS ? 1 : RATE * SECONDS;
    await expect.poll(async () => (await records(name)) - before.get(name)!, WAIT).toBeGreaterThanOrEqual(least);
    expect(await worker(name).scraper.ready(), name).toMatchObject({ ok: true });
  }
  expect(await records(away)).toBe(before.get(away));
  expect(await worker(away).scraper.ready()).toEqual({ ok: false, reason: expect.stringContaining('breaker') });
  await expect.poll(async () => await total(away, 'sluice_lag_records'), WAIT).toBeGreaterThan(100);
  expect(await total(away, 'sluice_retries_total')).toBeGreaterThan(4);
}

it('loses nothing while ClickHouse is down', async () => {
  await traffic(1);
  await expectEqual();
  await pipeline.stack.kill('clickhouse', 'SIGKILL');
  await pipeline.stack.down('clickhouse');
  await isOpen(CLICKHOUSE);
  await othersGoOnWithout(CLICKHOUSE, 2);
  await pipeline.stack.up('clickhouse');
  await isClosed(CLICKHOUSE);
  await expectEqual();
});

it('loses nothing while Redis is down', async () => {
  await pipeline.stack.kill('redis', 'SIGKILL');
  await pipeline.stack.down('redis');
  await isOpen(REDIS);
  await othersGoOnWithout(REDIS, 3);
  await pipeline.stack.up('redis');
  await isClosed(REDIS);
  await expectEqual();
});

it('loses nothing while Redis hangs: no answer comes, no connection ends', async () => {
  redis.stall();
  await isOpen(REDIS);
  await othersGoOnWithout(REDIS, 4);
  redis.pass();
  await isClosed(REDIS);
  await expectEqual();
});

it('goes on without the registry, and waits for it where a new schema comes', async () => {
  registry.cut();
  const before = await records('engagement.enrich');
  await traffic(5);
  await expect
    .poll(async () => (await records('engagement.enrich')) - before, WAIT)
    .toBeGreaterThanOrEqual(RATE * SECONDS);
  for (const { name } of pipeline.workers) expect(await breaker(name), name).toBe(0);
  const pool = new PostgresPool({ url: pipeline.env.SLUICE_POSTGRES_URL!, applicationName: 'test' });
  try {
    await pool.query('ALTER TABLE engagement_events ADD COLUMN noted_by text');
  } finally {
    await pool.close();
  }
  await traffic(6);
  await isOpen('engagement.enrich');
  expect(await worker('engagement.enrich').scraper.ready()).toMatchObject({
    ok: false,
    reason: expect.stringContaining('REGISTRY_'),
  });
  registry.pass();
  await isClosed('engagement.enrich');
  await expectEqual();
});

it('puts a row aside that ClickHouse refuses, lands the others, and reconcile explains it', async () => {
  const config = loadConfig(pipeline.env);
  const client = clickHouseClient(clickHouseConfig(config));
  const pool = new PostgresPool({ url: pipeline.env.SLUICE_POSTGRES_URL!, applicationName: 'test' });
  try {
    await client.command({
      query: "ALTER TABLE engagement_changes ADD CONSTRAINT no_fridge CHECK ifNull(device, '') != 'fridge'",
    });
    const flowing = traffic(7);
    const rows = async () => (await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM engagement_events')).rows;
    await expect.poll(async () => (await rows())[0]!.n, WAIT).toBeGreaterThanOrEqual(3);
    await pool.query(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
       SELECT content_id, user_id, 'play', now(), 1000, 'fridge' FROM engagement_events ORDER BY id DESC LIMIT 3`,
    );
    await flowing;
    await expect.poll(async () => await total(CLICKHOUSE, 'sluice_dead_letters_total'), WAIT).toBe(3);
    const { report, output } = await pipeline.reconcile();
    expect(report.result, output).toBe('equal');
    expect(output).toContain('SINK_REFUSED');
    await client.command({ query: 'ALTER TABLE engagement_changes DROP CONSTRAINT no_fridge' });
  } finally {
    await client.close();
    await pool.close();
  }
});
