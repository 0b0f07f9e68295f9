/** Reconcile on real servers: equal when they are, each planted fault named, traffic beyond the snapshot no disturbance. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { clickHouseConfig } from '../../../pipelines/config.ts';
import {
  type ReconcileOptions,
  type ReconcileStep,
  reconcile,
} from '../../../pipelines/engagement/reconcile/reconcile.ts';
import type { RowScope } from '../../../pipelines/engagement/reconcile/scope.ts';
import type { ReconcileReport, SinkReport } from '../../../pipelines/operations/reconcile/report.ts';
import { History } from './history.ts';
import { PARTITIONS, type Servers, schemas, startServers } from './servers.ts';

let servers: Servers;
let history: History;
let redis: Redis;

const CONTENTS = Array.from({ length: 8 }, (_, n) => `00000000-0000-4000-8000-00000000000${n}`);
const USER = '11111111-1111-4111-8111-111111111111';
const TYPES = ['play', 'pause', 'finish', 'click'] as const;
const DEVICES = ['ios', 'web', null] as const;
const DAY_MS = 86_400_000;

beforeAll(async () => {
  servers = await startServers();
  redis = new Redis(servers.config.SLUICE_REDIS_URL);
  history = new History(servers);
  await history.open();
  await servers.pool.transaction(async (sql) => {
    for (const [n, id] of CONTENTS.entries()) {
      const length = n === 6 ? null : n === 7 ? 0 : 60 + 7 * n;
      await sql.query("INSERT INTO content VALUES ($1, $2, $3, 'video', $4, now() - interval '1 year')", [
        id,
        `slug-${n}`,
        `Title | ${n} “ü”\n`,
        length,
      ]);
    }
  });
  // Ages from now to ten days ago, so that all windows and some periods are filled.
  for (let at = 0; at < 6; at++)
    await history.transaction(async (sql) => await insert(sql, 70, (n) => (n / 70) ** 4 * 10 * DAY_MS));
  await history.transaction(async (sql) => await change(sql, 40));
  await history.transaction(async (sql) => await remove(sql, 15));
  await history.transaction(async (sql) => await edit(sql, CONTENTS[1]!, 90), { kind: 'correct' });
  await history.flush();
});
afterAll(async () => {
  redis?.disconnect();
  await history?.close();
  await servers?.stop();
});

async function insert(sql: Sql, count: number, ageMs: (n: number) => number): Promise<readonly bigint[]> {
  const ids: bigint[] = [];
  for (let n = 0; n < count; n++) {
    const duration = n % 5 === 4 ? null : 1_000 + 37 * n;
    const { rows } = await sql.query<{ id: bigint }>(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
       VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
      [CONTENTS[n % 8]!, USER, TYPES[n % 4]!, new Date(Date.now() - ageMs(n)), duration, DEVICES[n % 3]!],
    );
    ids.push(rows[0]!.id);
  }
  return ids;
}

/** Updates of every kind: the duration, the time, the content. */
async function change(sql: Sql, count: number): Promise<readonly bigint[]> {
  const { rows } = await sql.query<{ id: bigint }>(
    `UPDATE engagement_events SET duration_ms = coalesce(duration_ms, 0) + 500, event_ts = event_ts - interval '26 hours' * (id % 2),
       content_id = CASE id % 3 WHEN 0 THEN $2::uuid ELSE content_id END, device = CASE id % 4 WHEN 0 THEN NULL ELSE 'tv' END
     WHERE id IN (SELECT id FROM engagement_events ORDER BY md5(id::text) LIMIT $1) RETURNING id`,
    [count, CONTENTS[2]!],
  );
  return rows.map(({ id }) => id);
}

async function remove(sql: Sql, count: number): Promise<readonly bigint[]> {
  const { rows } = await sql.query<{ id: bigint }>(
    'DELETE FROM engagement_events WHERE id IN (SELECT id FROM engagement_events ORDER BY md5(id::text || $2) LIMIT $1) RETURNING id',
    [count, 'removed'],
  );
  return rows.map(({ id }) => id);
}

/** Edits a content and returns its events: they are corrected. */
async function edit(sql: Sql, content: string, length: number): Promise<readonly bigint[]> {
  await sql.query(
    "UPDATE content SET length_seconds = $2, title = title || '.', content_type = 'podcast' WHERE id = $1",
    [content, length],
  );
  const { rows } = await sql.query<{ id: bigint }>('SELECT id FROM engagement_events WHERE content_id = $1', [content]);
  return rows.map(({ id }) => id);
}

/** Marks flow every second in life; here, whenever reconcile has its snapshot. */
async function run(
  options: Partial<ReconcileOptions> = {},
  traffic: (step: ReconcileStep) => Promise<void> = async () => {},
): Promise<ReconcileReport> {
  const { config, log } = servers;
  return await reconcile({
    postgresUrl: config.SLUICE_POSTGRES_URL,
    clickHouse: clickHouseConfig(config),
    redisUrl: config.SLUICE_REDIS_URL,
    log,
    schemas,
    deadlineSeconds: 20,
    probe: async (step) => {
      await traffic(step);
      if (step === 'snapshot') await history.flush();
    },
    ...options,
  });
}

/** Names of the sinks that are not equal. */
function unequal(report: ReconcileReport): readonly string[] {
  return Object.entries(report.sinks)
    .filter(([, { result }]) => result !== 'equal')
    .map(([name]) => name);
}

function sinkOf(report: ReconcileReport, name: string): SinkReport {
  return report.sinks[name]!;
}

const command = async (query: string) => await servers.clickHouse.command({ query });

async function anEvent(): Promise<bigint> {
  const { rows } = await servers.pool.query<{ id: bigint }>(
    "SELECT id FROM engagement_events WHERE duration_ms IS NOT NULL AND event_ts > now() - interval '5 minutes' ORDER BY id LIMIT 1",
  );
  return rows[0]!.id;
}

it('is equal when every sink says what Postgres says, and tells what it is at', async () => {
  const seen: string[] = [];
  const report = await run({ watch: (at) => seen.push(at) });
  expect(seen).toEqual([
    'waiting until ClickHouse has passed the position',
    ...Object.keys(report.sinks).map((name) => `comparing ${name}`),
  ]);
  expect(unequal(report), JSON.stringify(report, null, 1)).toEqual([]);
  expect(report.result).toBe('equal');
  const { rows } = await servers.pool.query<{ n: bigint }>('SELECT count(*) AS n FROM engagement_events');
  expect(sinkOf(report, 'clickhouse.rows').rowsCompared).toBe(Number(rows[0]!.n));
  expect(sinkOf(report, 'external').rowsCompared).toBe(Number(rows[0]!.n));
  expect(sinkOf(report, 'clickhouse.hourly').bucketsCompared).toBeGreaterThan(5);
  for (const window of ['10m', '1h', '1d', '1w']) {
    expect(sinkOf(report, `redis.${window}`)).toMatchObject({ bucketsCompared: 3 });
    expect(sinkOf(report, `redis.${window}`).rowsCompared).toBeGreaterThan(16);
  }
});

it('is not disturbed by what is committed after the snapshot, at any moment', async () => {
  const steps: ReconcileStep[] = [];
  const report = await run({}, async (step) => {
    steps.push(step);
    await history.transaction(async (sql) => await insert(sql, 20, (n) => n * 3_600_000));
    await history.transaction(async (sql) => await change(sql, 25));
    await history.transaction(async (sql) => await remove(sql, 6));
    await history.transaction(async (sql) => await edit(sql, CONTENTS[3]!, 100 + steps.length), { kind: 'correct' });
    await history.flush();
  });
  expect(unequal(report), JSON.stringify(report, null, 1)).toEqual([]);
  // No second snapshot was needed.
  expect(steps).toEqual(['snapshot', 'passed', 'rows', 'external', 'rollups']);
  expect(sinkOf(report, 'clickhouse.log').bucketsCompared).toBe(1);
});

it('compares what --since leaves', async () => {
  const all = await run();
  const report = await run({ since: new Date(Date.now() - 2 * DAY_MS) });
  expect(unequal(report), JSON.stringify(report, null, 1)).toEqual([]);
  const rows = sinkOf(report, 'clickhouse.rows').rowsCompared;
  expect(rows).toBeGreaterThan(0);
  expect(rows).toBeLessThan(sinkOf(all, 'clickhouse.rows').rowsCompared);
  expect(sinkOf(report, 'clickhouse.daily').bucketsCompared).toBeLessThan(
    sinkOf(all, 'clickhouse.daily').bucketsCompared,
  );
});

it('names a row that ClickHouse has lost', async () => {
  const id = await anEvent();
  const newest = (deleted: number) =>
    `INSERT INTO engagement_events_store SELECT * REPLACE (version + 1 AS version, ${deleted} AS is_deleted)
     FROM engagement_events_store WHERE event_id = ${id} ORDER BY version DESC LIMIT 1`;
  await command(newest(1));
  const report = await run();
  await command(newest(0));
  expect(report.result).toBe('different');
  expect(unequal(report)).toEqual(['clickhouse.rows']);
  expect(sinkOf(report, 'clickhouse.rows').differences).toMatchObject([{ row: `event ${id}`, sink: null }]);
  expect(sinkOf(report, 'clickhouse.rows').differences[0]!.postgres).toContain(`"id":"${id}"`);
});

it('compares the rows of some contents, or with some ids, and no others', async () => {
  const { rows } = await servers.pool.query<{ id: bigint; content_id: string }>(
    'SELECT id, content_id::text FROM engagement_events ORDER BY content_id, id',
  );
  const [lost] = rows;
  const other = rows.find(({ content_id }) => content_id !== lost!.content_id)!;
  const among = async (scope: Partial<RowScope>) => {
    const { sinks, result } = await run({ scope: { until: null, contents: [], ids: [], ...scope } });
    return { result, wrong: sinks['clickhouse.rows']!.differences.map(({ row }) => row), sinks };
  };
  const newest = (deleted: number) =>
    `INSERT INTO engagement_events_store SELECT * REPLACE (version + 1 AS version, ${deleted} AS is_deleted)
     FROM engagement_events_store WHERE event_id = ${lost!.id} ORDER BY version DESC LIMIT 1`;
  await command(newest(1));
  const found = { result: 'different', wrong: [`event ${lost!.id}`] };
  expect(await among({ ids: [lost!.id, other.id] })).toMatchObject(found);
  expect(await among({ contents: [lost!.content_id] })).toMatchObject(found);
  const elsewhere = await among({ contents: [other.content_id] });
  await command(newest(0));
  expect(elsewhere.result).toBe('equal');
  const count = rows.filter(({ content_id }) => content_id === other.content_id).length;
  expect(elsewhere.sinks['clickhouse.rows']!.rowsCompared).toBe(count);
  expect(elsewhere.sinks.external!.rowsCompared).toBe(count);
  expect((await among({ ids: [other.id] })).sinks.external!.rowsCompared).toBe(1);
  // Sums and boards hold rows of other ranges too.
  expect(Object.keys(elsewhere.sinks)).toEqual(['clickhouse.rows', 'external']);
});

it.each(['hourly', 'daily', 'weekly'])('names a cell of the %s rollup that counts twice', async (name) => {
  const period = { hourly: 'hour', daily: 'day', weekly: 'week' }[name]!;
  const columns = 'events, plays, pauses, finishes, clicks, duration_ms_sum, duration_samples, pct_bp_sum, pct_samples';
  const doubled = columns.split(', ').map((column) => `sum(${column})`);
  const store = `engagement_${name}_store`;
  const key = `${period}, content_id, content_type, device`;
  const where = `WHERE content_id = '${CONTENTS[4]}' AND ${period} = (SELECT max(${period}) FROM ${store} WHERE content_id = '${CONTENTS[4]}')`;
  await command(`CREATE TABLE kept ENGINE = Memory AS SELECT ${key}, ${doubled.map((sum, n) => `${sum} AS m${n}`).join(', ')}
    FROM ${store} ${where} GROUP BY ${key} ORDER BY ${key} LIMIT 1`);
  const add = async (sign: string) =>
    await command(
      `INSERT INTO ${store} (${key}, ${columns}) SELECT ${key}, ${doubled.map((_, n) => `${sign}m${n}`).join(', ')} FROM kept`,
    );
  await add('');
  const report = await run();
  await add('-');
  await command('DROP TABLE kept');
  expect(unequal(report)).toEqual([`clickhouse.${name}`]);
  const [difference, ...others] = sinkOf(report, `clickhouse.${name}`).differences;
  expect(others).toEqual([]);
  expect(difference!.row).toContain(`content ${CONTENTS[4]}`);
  expect(difference!.sink).not.toEqual(difference!.postgres);
});

it('names a wrong score, and a content that should not be on a board', async () => {
  const board = 'lb:{engagement:1h}:events';
  const [member, score] = await redis.zrevrange(board, 0, 0, 'WITHSCORES');
  await redis.zadd(board, Number(score) + 0.5, member!);
  await redis.zadd('lb:{engagement:1w}:seconds', 1, 'nobody');
  const report = await run();
  await redis.zadd(board, score!, member!);
  await redis.zrem('lb:{engagement:1w}:seconds', 'nobody');
  expect(unequal(report)).toEqual(['redis.1h', 'redis.1w']);
  expect(sinkOf(report, 'redis.1h').differences).toEqual([
    {
      bucket: '1h events',
      row: `content ${member}`,
      postgres: `place 1, score ${score}`,
      sink: `place 1, score ${score}.5`,
    },
  ]);
  expect(sinkOf(report, 'redis.1w').differences).toMatchObject([{ row: 'content nobody', postgres: null }]);
});

it('names figures and names of a content that are wrong', async () => {
  const key = `lb:{engagement:1d}:content:${CONTENTS[5]}`;
  const kept = await redis.hmget(key, 'plays', 'title');
  await redis.hset(key, { plays: '999', title: 'another' });
  const report = await run({ windows: ['1d'] });
  await redis.hset(key, { plays: kept[0]!, title: kept[1]! });
  expect(unequal(report)).toEqual(['redis.1d']);
  const texts = sinkOf(report, 'redis.1d').differences.map(({ sink }) => sink);
  expect(texts).toContain('plays=999');
  expect(texts.join()).toContain('another');
});

it('names a record that the external topic has lost', async () => {
  const id = await anEvent();
  await history.external(id, 'lost');
  const report = await run();
  await history.external(id, 'present');
  expect(unequal(report)).toEqual(['external']);
  expect(sinkOf(report, 'external').differences).toMatchObject([{ row: `event ${id}`, sink: null }]);
});

it('names a row that changed in Postgres only, in every sink', async () => {
  const id = await anEvent();
  const shift = async (ms: number) =>
    await history.transaction(
      async (sql) => {
        await sql.query('UPDATE engagement_events SET duration_ms = duration_ms + $2 WHERE id = $1', [id, ms]);
        return [id];
      },
      { ignore: true },
    );
  await shift(60_000);
  const report = await run();
  await shift(-60_000);
  const rollups = ['clickhouse.hourly', 'clickhouse.daily', 'clickhouse.weekly'];
  const boards = ['redis.10m', 'redis.1h', 'redis.1d', 'redis.1w'];
  expect(unequal(report)).toEqual(['clickhouse.rows', 'external', ...rollups, ...boards]);
  for (const name of ['clickhouse.rows', 'external']) {
    const [difference] = sinkOf(report, name).differences;
    expect(difference!.row).toBe(`event ${id}`);
    expect(difference!.sink).toContain('"durationMs":');
  }
});

it('explains rows that were dead-lettered, unless it is strict or they differ from the letter', async () => {
  const bad = {
    content_id: CONTENTS[0]!,
    user_id: USER,
    event_type: 'play',
    event_ts: new Date().toISOString(),
    duration_ms: -5,
    device: null,
  };
  const [id] = await history.transaction(
    async (sql) => {
      const { content_id, user_id, event_type, event_ts, duration_ms } = bad;
      const { rows } = await sql.query<{ id: bigint }>(
        'INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id',
        [content_id, user_id, event_type, event_ts, duration_ms],
      );
      return [rows[0]!.id];
    },
    { ignore: true },
  );
  await history.deadLetter({ ...bad, id: id! }, 'NEGATIVE_DURATION');
  const explained = await run();
  expect(unequal(explained), JSON.stringify(explained, null, 1)).toEqual([]);
  for (const name of ['clickhouse.rows', 'external']) {
    expect(sinkOf(explained, name).deadLettered).toEqual([{ row: String(id), reason: 'NEGATIVE_DURATION' }]);
  }
  const strict = await run({ strict: true });
  expect(strict.result).toBe('different');
  expect(sinkOf(strict, 'external').differences).toMatchObject([{ row: `event ${id}`, sink: null }]);
  await servers.pool.query('UPDATE engagement_events SET duration_ms = 5 WHERE id = $1', [id!]);
  expect(sinkOf(await run(), 'clickhouse.rows')).toMatchObject({ differenceCount: 1, deadLetteredCount: 0 });
  await servers.pool.query('DELETE FROM engagement_events WHERE id = $1', [id!]);
  expect((await run()).result).toBe('equal');
});

it('cannot tell when a sink does not reach the position, and says where each partition is', async () => {
  const report = await run({ deadlineSeconds: 1, probe: async () => {} });
  expect(report.result).toBe('unknown');
  const { problem } = sinkOf(report, 'clickhouse');
  expect(problem).toContain('RECONCILE_DEADLINE');
  for (let partition = 0; partition < PARTITIONS; partition++) expect(problem).toContain(`partition ${partition}: at `);
});

it('cannot tell about a server that is away, and compares the others', async () => {
  const report = await run({ redisUrl: 'redis://127.0.0.1:1', windows: ['10m'] });
  expect(report.result).toBe('unknown');
  expect(unequal(report)).toEqual(['redis.10m']);
  expect(sinkOf(report, 'redis.10m').problem).toContain('REDIS_');
  const nowhere = await run({ postgresUrl: 'postgres://postgres:x@127.0.0.1:1/sluice' });
  expect(nowhere).toMatchObject({ result: 'unknown', position: null });
});
