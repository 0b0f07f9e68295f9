/**
 * `reconcile --repair` on the real stack: what was made wrong by hand is right again, and nothing else was touched.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickHouseClient, selectRows } from '../../connectors/clickhouse/client.ts';
import { CONNECTOR_NAME } from '../../connectors/debezium/config.ts';
import { ConnectApi } from '../../connectors/debezium/connect-api.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { appendRecords } from '../../connectors/kafka/plain.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import { encodeKey } from '../../pipelines/engagement/codec/key.ts';
import { partitionOf } from '../../pipelines/engagement/partition.ts';
import { type RepairOptions, repair } from '../../pipelines/engagement/repair/repair.ts';
import { CDC_EVENTS, EVENTS_V1 } from '../../pipelines/engagement/topics.ts';
import { SUBJECTS, schemaText } from '../../schemas/subjects.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

let pipeline: Pipeline;
let config: ReturnType<typeof loadConfig>;
let clickHouse: ClickHouseClient;
let postgres: PostgresPool;
let redis: Redis;
let log: KafkaClient;
let registry: RegistryClient;

beforeAll(async () => {
  pipeline = await startPipeline({ instances: 1 });
  config = loadConfig(pipeline.env);
  clickHouse = clickHouseClient(clickHouseConfig(config));
  postgres = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'test-repair' });
  redis = new Redis(config.SLUICE_REDIS_URL);
  log = new KafkaClient(kafkaOptions(config, 'test-repair'));
  registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  await pipeline.generate(...traffic(1), '--seconds', '4');
  expect((await pipeline.reconcile()).report.result).toBe('equal');
});
afterAll(async () => {
  redis?.disconnect();
  await Promise.allSettled([clickHouse?.close(), postgres?.close(), log?.close()]);
  await pipeline?.stop();
});

const traffic = (seed: number) => [
  ...['--rate', '300', '--updates', '8', '--deletes', '3', '--late', '5'],
  ...['--contents', '60', '--content-edits', '120', '--seed', String(seed)],
];

interface Answer {
  readonly outcome: string;
  readonly message: string;
  readonly plan?: { readonly before: Report };
  readonly result?: { readonly before: Report; readonly after: Report; readonly done: readonly string[] };
}

interface Report {
  readonly result: string;
  readonly sinks: Readonly<Record<string, { readonly result: string; readonly differenceCount: number }>>;
}

async function run(...args: readonly string[]): Promise<{ readonly code: number; readonly answer: Answer }> {
  const { code, output } = await pipeline.script('reconcile.ts', '--repair', '--json', ...args);
  const last = output
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('{'));
  expect(last, output).toBeDefined();
  return { code: code ?? -1, answer: JSON.parse(last!) as Answer };
}

const unequal = ({ sinks }: Report) => Object.keys(sinks).filter((name) => sinks[name]!.result !== 'equal');

/** Repairs what is wrong in exactly these sinks, and everything is equal then: what was left would be wrong at the next repair's beginning. */
async function repaired(wrong: readonly string[]): Promise<readonly string[]> {
  const { code, answer } = await run('--yes');
  expect(answer, JSON.stringify(answer, null, 1)).toMatchObject({
    outcome: 'done',
    result: { after: { result: 'equal' } },
  });
  expect(code).toBe(0);
  expect(unequal(answer.result!.before)).toEqual(wrong);
  return answer.result!.done;
}

const command = async (query: string) => await clickHouse.command({ query });

/** Everything that a repair could touch and that does not move by itself. */
async function footprint() {
  const hash = async (from: string) => {
    const [row] = await selectRows<{ n: string; h: string }>(
      clickHouse,
      `SELECT count() AS n, sum(cityHash64(toString(tuple(*)))) AS h FROM (${from})`,
    );
    return `${row!.n} ${row!.h}`;
  };
  return {
    captured: [...(await log.offsets(CDC_EVENTS, pipeline.partitions, 'highWatermark'))],
    log: await hash('SELECT * EXCEPT (inserted_at, write_before, generation) FROM engagement_changes'),
    rows: await hash('SELECT * FROM engagement_events'),
    hourly: await hash('SELECT * FROM engagement_hourly'),
    daily: await hash('SELECT * FROM engagement_daily'),
    weekly: await hash('SELECT * FROM engagement_weekly'),
  };
}

interface Event {
  readonly id: bigint;
  readonly content_id: string;
}

/** The n-th newest row. */
async function event(n: number): Promise<Event> {
  const { rows } = await postgres.query<Event>(
    'SELECT id, content_id::text AS content_id FROM engagement_events ORDER BY id DESC OFFSET $1 LIMIT 1',
    [n],
  );
  return rows[0]!;
}

it('says what it would do, and does nothing without being told to', async () => {
  const { id } = await event(0);
  const before = await footprint();
  await command(`ALTER TABLE engagement_events_store DELETE WHERE event_id = ${id} SETTINGS mutations_sync = 2`);
  const wrong = await footprint();
  expect(wrong.rows).not.toBe(before.rows);
  const dry = await run('--dry-run');
  expect([dry.code, dry.answer.outcome, unequal(dry.answer.plan!.before)]).toEqual([0, 'dry-run', ['clickhouse.rows']]);
  const unasked = await run();
  expect([unasked.code, unasked.answer.message]).toEqual([2, expect.stringContaining('CONFIRMATION_NEEDED')]);
  expect(await footprint()).toEqual(wrong);
  await repaired(['clickhouse.rows']);
  expect(await footprint()).toEqual(before);
});

it('brings back rows of ClickHouse: gone, gone from the log too, written off, changed in place', async () => {
  const before = await footprint();
  const ids = await Promise.all([1, 2, 3, 4].map(async (n) => (await event(n)).id));
  const sync = 'SETTINGS mutations_sync = 2';
  await command(`ALTER TABLE engagement_events_store DELETE WHERE event_id IN (${ids[0]}, ${ids[1]}) ${sync}`);
  await command(`ALTER TABLE engagement_changes DELETE WHERE event_id = ${ids[1]} ${sync}`);
  await command(`INSERT INTO engagement_events_store SELECT * REPLACE (version + 1 AS version, 1 AS is_deleted)
    FROM engagement_events_store WHERE event_id = ${ids[2]} ORDER BY version DESC LIMIT 1`);
  await command(`ALTER TABLE engagement_events_store UPDATE device = 'toaster' WHERE event_id = ${ids[3]} ${sync}`);
  await repaired(['clickhouse.rows']);
  expect(await footprint()).toEqual(before);
});

it('puts back what only the log of ClickHouse has lost', async () => {
  const before = await footprint();
  const ids = await Promise.all([1, 2].map(async (n) => (await event(n)).id));
  await command(
    `ALTER TABLE engagement_changes DELETE WHERE event_id IN (${ids.join(', ')}) SETTINGS mutations_sync = 2`,
  );
  expect(await repaired(['clickhouse.log'])).toEqual([expect.stringMatching(/^put \d+ rows back into the log/)]);
  expect(await footprint()).toEqual(before);
});

it('takes off what rollups count twice', async () => {
  const before = await footprint();
  const { content_id } = await event(5);
  for (const name of ['hourly', 'daily', 'weekly']) {
    const store = `engagement_${name}_store`;
    await command(`INSERT INTO ${store} SELECT * FROM ${store} WHERE content_id = '${content_id}'`);
  }
  await repaired(['clickhouse.hourly', 'clickhouse.daily', 'clickhouse.weekly']);
  expect(await footprint()).toEqual(before);
});

/** Runs a repair that is killed at a writing statement to ClickHouse; its exit code, null when it was killed. */
async function killedAt(write: number): Promise<number | null> {
  const folder = join(import.meta.dirname, '../..');
  const args = ['--import', join(folder, 'tests/support/kill-at-write-child.ts'), join(folder, 'scripts/reconcile.ts')];
  const child = spawn(process.execPath, [...args, '--repair', '--yes', '--json'], {
    env: { ...pipeline.env, KILL_AT_WRITE: String(write) },
    stdio: 'ignore',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

it('goes on from wherever a repair was killed', async () => {
  const before = await footprint();
  const [lost, forgotten] = await Promise.all([event(1), event(2)]);
  const sync = 'SETTINGS mutations_sync = 2';
  await command(`ALTER TABLE engagement_events_store DELETE WHERE event_id = ${lost.id} ${sync}`);
  await command(`ALTER TABLE engagement_changes DELETE WHERE event_id IN (${lost.id}, ${forgotten.id}) ${sync}`);
  await command(
    `INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store WHERE content_id = '${lost.content_id}'`,
  );
  // Each run finds what the one before has left, and comes two statements further before it dies.
  let kills = 0;
  while ((await killedAt(2 * kills + 2)) === null) kills++;
  expect(kills).toBeGreaterThan(1);
  const { report } = await pipeline.reconcile();
  expect(report.result).toBe('equal');
  expect(await footprint()).toEqual(before);
});

it('takes off what rollups count twice while events flow', async () => {
  const { content_id } = await event(5);
  const { answer } = await pipeline.during(traffic(2), async () => {
    await command(
      `INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store WHERE content_id = '${content_id}'`,
    );
    return await run('--yes');
  });
  expect(unequal(answer.result!.before), JSON.stringify(answer)).toEqual(['clickhouse.daily']);
  expect(unequal(answer.result!.after)).toEqual([]);
  expect((await pipeline.reconcile()).report.result).toBe('equal');
});

it('puts boards right: a score, a missing member, a stray one', async () => {
  const before = await footprint();
  // Of the widest window: what the sink itself writes anew when a pane passes would be right by itself.
  const [first] = await redis.zrevrange('lb:{engagement:1w}:seconds', 0, 0);
  const [second] = await redis.zrevrange('lb:{engagement:1w}:events', 1, 1);
  await redis.zincrby('lb:{engagement:1w}:seconds', 5, first!);
  await redis.zrem('lb:{engagement:1w}:events', second!);
  await redis.zadd('lb:{engagement:1w}:events', 1_000_000, 'nobody');
  await redis.hset('lb:{engagement:1w}:content:nobody', { partition: '99', slug: 'x' });
  await repaired(['redis.1w']);
  expect(await redis.exists('lb:{engagement:1w}:content:nobody')).toBe(0);
  expect(await footprint()).toEqual(before);
});

/** Writes over the public record of an event by hand; null: a tombstone. */
async function tamper({ id, content_id }: Event): Promise<void> {
  const partition = partitionOf(content_id, config.SLUICE_PARTITIONS);
  const { name, schema } = SUBJECTS.eventKey;
  const schemaId = await registry.idOf({ name, text: schemaText(schema) });
  const key = Buffer.from(encodeKey(new ByteWriter(), schemaId, content_id, id));
  const record = { partition, key, value: null, headers: [], timestampMs: Date.now() };
  await appendRecords(kafkaOptions(config, 'test-repair'), EVENTS_V1, [record]);
}

it('publishes a lost external record again, and no sink counts it twice', async () => {
  const { captured: _, ...before } = await footprint();
  await tamper(await event(6));
  await repaired(['external']);
  const { captured: __, ...after } = await footprint();
  expect(after).toEqual(before);
});

it('publishes it again when the worker has been restored from the topic that lost it', async () => {
  const { captured: _, ...before } = await footprint();
  const lost = await event(7);
  await tamper(lost);
  const enrich = pipeline.workers.find(({ name }) => name === 'engagement.enrich')!.process;
  await enrich.stop();
  for (const dir of pipeline.stateDirs) rmSync(`${dir}/engagement.enrich`, { recursive: true });
  await enrich.start();
  await repaired(['external']);
  const { captured: __, ...after } = await footprint();
  expect(after).toEqual(before);
  // What the store believes is right again: a deletion takes off what was counted.
  await postgres.query('DELETE FROM engagement_events WHERE id = $1', [lost.id]);
  expect((await pipeline.reconcile()).report.result).toBe('equal');
});

/** Runs work that capture never sees: it begins anew behind it, without a snapshot. */
async function unseen(work: () => Promise<void>): Promise<void> {
  const api = new ConnectApi(config.SLUICE_CONNECT_URL);
  const wanted = (await api.config(CONNECTOR_NAME))!;
  const removed = await pipeline.script('connector.ts', 'delete', '--forget');
  expect(removed.code, removed.output).toBe(0);
  await work();
  await api.putConfig(CONNECTOR_NAME, { ...wanted, 'snapshot.mode': 'no_data' });
  const streams = async () => {
    const offset = await api.offset(CONNECTOR_NAME);
    return offset !== null && offset.lsn !== undefined && offset.snapshot === undefined;
  };
  await expect.poll(streams, { timeout: 90_000, interval: 500 }).toBe(true);
  const { code, output } = await pipeline.script('connector.ts', 'register');
  expect(code, output).toBe(0);
}

it('tells the pipeline what was updated, inserted, deleted and moved while the slot was gone, contents too', async () => {
  const [updated, deleted, moved] = await Promise.all([event(8), event(9), event(10)]);
  await unseen(async () => {
    await postgres.query('UPDATE engagement_events SET duration_ms = 77777 WHERE id = $1', [updated.id]);
    await postgres.query('DELETE FROM engagement_events WHERE id = $1', [deleted.id]);
    await postgres.query(
      'UPDATE engagement_events SET content_id = (SELECT id FROM content WHERE id != content_id ORDER BY id LIMIT 1) WHERE id = $1',
      [moved.id],
    );
    await postgres.query(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms)
       VALUES ($1, gen_random_uuid(), 'play', now(), 1234)`,
      [updated.content_id],
    );
    await postgres.query("UPDATE content SET title = 'unseen', length_seconds = 4321 WHERE id = $1", [
      updated.content_id,
    ]);
    await postgres.query(
      "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) VALUES (gen_random_uuid(), 'unseen', 'Unseen', 'video', 60, now())",
    );
  });
  const before = await footprint();
  const done = await repaired([
    ...['contents', 'clickhouse.rows', 'external', 'clickhouse.hourly', 'clickhouse.daily', 'clickhouse.weekly'],
    ...['redis.10m', 'redis.1h', 'redis.1d', 'redis.1w'],
  ]);
  expect(done).toEqual([expect.stringMatching(/^read \d+ contents again$/), 'told the pipeline 4 rows']);
  // Exactly these rows: an upsert or a deletion for each, and both for the one that moved.
  const records = (of: Awaited<ReturnType<typeof footprint>>) => of.captured.reduce((sum, [, end]) => sum + end, 0n);
  expect(records(await footprint()) - records(before)).toBe(5n);
});

function options(more: Partial<RepairOptions>): RepairOptions {
  return {
    postgresUrl: config.SLUICE_POSTGRES_URL,
    clickHouse: clickHouseConfig(config),
    redisUrl: config.SLUICE_REDIS_URL,
    log,
    schemas: registry,
    connect: () => new KafkaClient(kafkaOptions(config, 'test-repair')),
    kafka: kafkaOptions(config, 'test-repair'),
    generation: config.SLUICE_GENERATION,
    runId: 'test',
    max: 100,
    rate: 100,
    signal: new AbortController().signal,
    progress: () => {},
    ...more,
  };
}

it('never undoes what changes between the comparison and the repair', async () => {
  const [again, gone] = await Promise.all([event(11), event(12)]);
  await unseen(async () => {
    await postgres.query('UPDATE engagement_events SET duration_ms = 1 WHERE id = ANY($1::bigint[])', [
      [again.id, gone.id],
    ]);
  });
  let raced = false;
  const { after } = await repair(
    options({
      beforeRepair: async () => {
        if (raced) return;
        raced = true;
        await postgres.query('UPDATE engagement_events SET duration_ms = 2 WHERE id = $1', [again.id]);
        await postgres.query('DELETE FROM engagement_events WHERE id = $1', [gone.id]);
      },
    }),
  );
  expect(raced).toBe(true);
  expect(after.result, JSON.stringify(after, null, 1)).toBe('equal');
  const rows = await selectRows<{ duration_ms: string }>(
    clickHouse,
    'SELECT duration_ms FROM engagement_events WHERE event_id IN ({ids:Array(Int64)})',
    { ids: [again.id, gone.id] },
  );
  expect(rows).toEqual([{ duration_ms: '2' }]);
});

it('refuses to repair more than it was allowed to', async () => {
  const before = await footprint();
  const ids = await Promise.all([13, 14, 15].map(async (n) => (await event(n)).id));
  await command(
    `ALTER TABLE engagement_events_store DELETE WHERE event_id IN (${ids.join(', ')}) SETTINGS mutations_sync = 2`,
  );
  const wrong = await footprint();
  const { code, answer } = await run('--yes', '--max', '2');
  expect([code, answer.message]).toEqual([2, expect.stringContaining('REPAIR_REFUSED')]);
  expect(await footprint()).toEqual(wrong);
  await repaired(['clickhouse.rows']);
  expect(await footprint()).toEqual(before);
});

it('leaves everything equal', async () => {
  expect((await pipeline.reconcile()).report.result).toBe('equal');
});
