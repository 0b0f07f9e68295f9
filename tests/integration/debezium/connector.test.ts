import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CONNECTOR_NAME,
  connectorConfig,
  SLOT_NAME,
  withoutNotifications,
} from '../../../connectors/debezium/config.ts';
import { ConnectApi } from '../../../connectors/debezium/connect-api.ts';
import { registerConnector } from '../../../connectors/debezium/register.ts';
import { waitUntilRunning } from '../../../connectors/debezium/status.ts';
import { createTopics } from '../../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { CAPTURED_TABLES } from '../../../pipelines/capture.ts';
import { loadConfig } from '../../../pipelines/config.ts';
import { CDC_CONTENT, CDC_EVENTS } from '../../../pipelines/engagement/topics.ts';
import { CDC_HEARTBEAT } from '../../../pipelines/operations/topics.ts';
import { allTopics } from '../../../pipelines/topics.ts';
import { freePortBase } from '../../support/ports.ts';
import { CdcReader, type CdcRecord } from './cdc.ts';
import { resume, type StoredOffset, storedSoFar, storedUntil } from './resume.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PARTITIONS = 4;
const [A, B, C] = ['a', 'b', 'c'].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`) as [
  string,
  string,
  string,
];

let stack: Stack;
let env: Readonly<Record<string, string>>;
let owner: PostgresPool;
let kafka: KafkaClient;
let api: ConnectApi;
let cdc: CdcReader;

const wanted = () =>
  connectorConfig({
    postgres: {
      host: '127.0.0.1',
      port: stack.ports.postgres,
      database: 'sluice',
      user: 'sluice_capture',
      password: env.SLUICE_POSTGRES_CAPTURE_PASSWORD!,
    },
    registryUrl: `http://127.0.0.1:${stack.ports.registry}/apis/registry/v2`,
    tables: CAPTURED_TABLES,
    partitions: PARTITIONS,
  });

/** Runs the operator's command in this environment. */
async function connector(args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ['scripts/connector.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out: string[] = [];
  child.stdout.on('data', (chunk) => out.push(String(chunk)));
  child.stderr.on('data', (chunk) => out.push(String(chunk)));
  await once(child, 'close');
  return { status: child.exitCode, output: out.join('') };
}

async function insertEvents(contents: readonly string[], device: string): Promise<bigint[]> {
  const { rows } = await owner.query<{ id: bigint }>(
    `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
     SELECT id, id, 'play', '2026-01-02T03:04:05.678901Z', 1000, $2 FROM unnest($1::uuid[]) AS c (id) RETURNING id`,
    [contents, device],
  );
  return rows.map((row) => row.id);
}

const rowOf = (record: CdcRecord) => record.value.after ?? record.value.before!;
const withDevice = (records: readonly CdcRecord[], device: string) =>
  records.filter((record) => rowOf(record).device === device);

beforeAll(async () => {
  const home = await mkdtemp(join(tmpdir(), 'sluice-debezium-'));
  stack = await startStack({
    home,
    portBase: await freePortBase(),
    services: ['postgres', 'kafka', 'registry', 'connect'],
  });
  env = { ...stack.env, SLUICE_PARTITIONS: String(PARTITIONS) };
  const config = loadConfig(env);
  await migratePostgres({
    url: config.SLUICE_POSTGRES_URL,
    directory: `${ROOT}/sql/postgres`,
    rolePasswords: { sluice_capture: env.SLUICE_POSTGRES_CAPTURE_PASSWORD! },
  });
  owner = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'test' });
  await owner.query(
    `INSERT INTO content SELECT id, left(id::text || slug, 60), slug, 'podcast', 60, now()
     FROM unnest($1::uuid[], $2::text[]) AS c (id, slug)`,
    [
      [A, B, C],
      ['a', 'b', 'c'],
    ],
  );
  const kafkaOptions = { brokers: config.SLUICE_KAFKA_BROKERS, clientId: 'test' };
  await createTopics(
    { ...kafkaOptions, replication: 1 },
    allTopics(PARTITIONS).map(({ name, partitions }) => ({ name, partitions, config: {} })),
  );
  kafka = new KafkaClient(kafkaOptions);
  api = new ConnectApi(config.SLUICE_CONNECT_URL);
  cdc = new CdcReader(kafka, config.SLUICE_REGISTRY_URL);
}, 300_000);

afterAll(async () => {
  await kafka?.close();
  await owner?.close();
  await stack?.stop({ remove: true });
}, 60_000);

describe('registering the connector', { timeout: 120_000 }, () => {
  it('refuses a partition count that the topic does not have, before anything is registered', async () => {
    const { status, output } = await connector(['register'], { SLUICE_PARTITIONS: '5' });
    expect({ status, output }).toEqual({ status: 2, output: expect.stringContaining('PARTITION_COUNT_MISMATCH') });
    expect(await api.config(CONNECTOR_NAME)).toBeNull();
  });

  it('passes on why Connect refuses a configuration', async () => {
    const bad = { ...wanted(), 'database.password': 'wrong' };
    await expect(registerConnector(api, { name: 'refused', config: bad })).rejects.toMatchObject({
      code: 'CONNECT_CONFIG_REFUSED',
      message: expect.stringContaining('password authentication failed'),
    });
  });

  it('reports the cause when the task fails', async () => {
    const bad = { ...wanted(), 'publication.name': 'not_there', 'slot.name': 'broken', 'topic.prefix': 'broken' };
    try {
      await expect(registerConnector(api, { name: 'broken', config: bad })).rejects.toMatchObject({
        code: 'CONNECTOR_FAILED',
        message: expect.stringMatching(/publication/i),
      });
    } finally {
      await api.delete('broken');
    }
  });

  it('creates it, leaves it alone when nothing differs, and repairs what differs', async () => {
    const options = { name: CONNECTOR_NAME, config: wanted() };
    expect(await registerConnector(api, options)).toEqual({ outcome: 'created', drift: [] });
    expect(await registerConnector(api, options)).toEqual({ outcome: 'unchanged', drift: [] });
    await api.putConfig(CONNECTOR_NAME, { ...wanted(), 'max.batch.size': '1024' });
    const seen = await connector(['status']);
    expect(seen).toEqual({ status: 1, output: expect.stringContaining('~ max.batch.size = 8192 (was 1024)') });
    expect(await registerConnector(api, options)).toEqual({
      outcome: 'updated',
      drift: [{ kind: 'different', key: 'max.batch.size', wanted: '8192', found: '1024' }],
    });
    expect(await connector(['register'])).toEqual({ status: 0, output: expect.stringContaining('unchanged, running') });
    expect((await connector(['status'])).status).toBe(0);
  });

  it('tells no password', async () => {
    const { output } = await connector(['config']);
    expect(JSON.parse(output)['database.password']).toBe('********');
    expect(output).not.toContain(env.SLUICE_POSTGRES_CAPTURE_PASSWORD);
  });
});

describe('captured rows', { timeout: 60_000 }, () => {
  it('include those from before the connector, as a snapshot', async () => {
    const records = await cdc.until(CDC_CONTENT, (read) => read.length >= 3);
    expect(records.map(({ value }) => value.op)).toEqual(['r', 'r', 'r']);
    expect(records.map(({ value }) => value.after!.id).sort()).toEqual([A, B, C]);
  });

  it('carry before, after, transaction, position and commit time, and no headers', async () => {
    const [id] = await insertEvents([A], 'shape');
    await owner.query('UPDATE engagement_events SET duration_ms = 2000 WHERE id = $1', [id!]);
    const deleted = await owner.transaction(async (sql) => {
      await sql.query('DELETE FROM engagement_events WHERE id = $1', [id!]);
      return (await sql.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid')).rows[0]!.xid;
    });
    const after = parseLsn(
      (await owner.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')).rows[0]!.lsn,
    );
    const records = withDevice(await cdc.until(CDC_EVENTS, (read) => withDevice(read, 'shape').length >= 3), 'shape');
    const row = { id, content_id: A, event_type: 'play', event_ts: '2026-01-02T03:04:05.678901Z', raw_payload: null };
    expect(records.map(({ value: { op, before, after } }) => ({ op, before, after }))).toEqual([
      { op: 'c', before: null, after: expect.objectContaining({ ...row, duration_ms: 1000 }) },
      {
        op: 'u',
        before: expect.objectContaining({ ...row, duration_ms: 1000 }),
        after: expect.objectContaining({ ...row, duration_ms: 2000 }),
      },
      { op: 'd', before: expect.objectContaining({ ...row, duration_ms: 2000 }), after: null },
    ]);
    expect(records.map(({ key }) => key)).toEqual(Array(3).fill({ content_id: A, id }));
    expect(records.flatMap(({ headers }) => headers)).toEqual([]);
    const sources = records.map(({ value }) => value.source as { lsn: bigint; txId: bigint; ts_ms: bigint });
    expect(sources[2]!.txId).toBe(BigInt(deleted));
    expect(sources[0]!.lsn < sources[1]!.lsn && sources[1]!.lsn < sources[2]!.lsn && sources[2]!.lsn < after).toBe(
      true,
    );
    expect(sources.every(({ ts_ms }) => ts_ms > 1_700_000_000_000n)).toBe(true);
  });

  it('of one content are in one partition, and a row that moves is a delete and a create', async () => {
    await insertEvents([A, B, C, A, B, C], 'route');
    const [moving] = await insertEvents([A], 'move');
    await owner.query('UPDATE engagement_events SET content_id = $2 WHERE id = $1', [moving!, B]);
    const all = await cdc.until(
      CDC_EVENTS,
      (read) => withDevice(read, 'route').length >= 6 && withDevice(read, 'move').length >= 3,
    );
    const homes = new Map<unknown, Set<number>>();
    for (const record of all) {
      const content = rowOf(record).content_id;
      homes.set(content, (homes.get(content) ?? new Set()).add(record.partition));
    }
    expect([...homes.values()].map((partitions) => partitions.size)).toEqual([1, 1, 1]);
    const moves = withDevice(all, 'move').sort((a, b) =>
      Number((a.value.source.lsn as bigint) - (b.value.source.lsn as bigint)),
    );
    const steps = moves.map(({ key, value }) => `${value.op} ${key.content_id === A ? 'A' : 'B'}`).sort();
    expect(steps).toEqual(['c A', 'c B', 'd A']);
    const [left, arrived] = moves.slice(1).map(({ value }) => value.source.lsn);
    expect(left).toBe(arrived);
  });

  it('carry a column that is added while the connector runs', async () => {
    await insertEvents([A], 'before-alter');
    await cdc.until(CDC_EVENTS, (read) => withDevice(read, 'before-alter').length >= 1);
    await owner.query('ALTER TABLE engagement_events ADD COLUMN referrer text');
    await insertEvents([A], 'after-alter');
    const added = (read: readonly CdcRecord[]) => withDevice(read, 'after-alter').map(rowOf);
    const all = await cdc.until(CDC_EVENTS, (read) => added(read).length >= 1);
    expect(added(all)).toEqual([expect.objectContaining({ content_id: A, referrer: null })]);
    expect(rowOf(withDevice(all, 'before-alter')[0]!)).not.toHaveProperty('referrer');
  });

  it('are followed by the source clock, in commit order', async () => {
    const before = parseLsn(
      (await owner.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')).rows[0]!.lsn,
    );
    const past = (records: readonly CdcRecord[]) =>
      records.filter(({ value }) => (value.source.lsn as bigint) > before && value.op === 'u');
    const beats = past(await cdc.until(CDC_HEARTBEAT, (read) => past(read).length >= 2));
    expect(beats.every(({ value }) => value.after!.id === 1)).toBe(true);
    const times = beats.map(({ value }) => Date.parse(String(value.after!.beat_at)));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});

describe('rows of one COPY', { timeout: 180_000 }, () => {
  const rows = ['1', '2', '3', '4'].map((digit) => `00000000-0000-4000-8000-0000000000f${digit}`);
  const slots = rows.map((_, index) => `behind_${index + 1}`);
  const captured = (records: readonly CdcRecord[]) =>
    withDevice(records, 'copy').map((record) => rowOf(record).user_id);

  /** Rows of a COPY are one WAL record: all have its LSN. */
  async function copy(): Promise<void> {
    const client = new pg.Client({ connectionString: env.SLUICE_POSTGRES_URL });
    await client.connect();
    try {
      const into = client.query(
        copyFrom('COPY engagement_events (content_id, user_id, event_type, event_ts, device) FROM STDIN'),
      );
      await pipeline(
        rows.map((user) => `${A}\t${user}\tplay\t2026-01-02T03:04:05Z\tcopy\n`),
        into,
      );
    } finally {
      await client.end();
    }
  }

  const isBehindAll = ({ lsn_events_processed: processed }: StoredOffset) => processed === rows.length;

  it('are all captured, behind whichever of them the connector was killed', async () => {
    // One record at a time and no heartbeat between: the nth offset is the one that a kill behind the nth row leaves.
    const rowByRow = { ...wanted(), 'max.batch.size': '1', 'heartbeat.interval.ms': '3600000' };
    await resume({ api, url: stack.env.SLUICE_CONNECT_URL! }, rowByRow);
    await waitUntilRunning(api, CONNECTOR_NAME, 30_000);
    await insertEvents([B], 'before copy');
    await cdc.until(CDC_EVENTS, (read) => withDevice(read, 'before copy').length === 1);
    // What the server sends again after a kill: each start has a slot of its own, at the place before the COPY.
    for (const slot of slots) await owner.query('SELECT pg_copy_logical_replication_slot($1, $2)', [SLOT_NAME, slot]);
    const from = await storedSoFar(kafka);
    await copy();
    const sent = await cdc.until(CDC_EVENTS, (read) => captured(read).length === rows.length);
    expect(captured(sent)).toEqual(rows);
    expect(new Set(withDevice(sent, 'copy').map(({ value }) => value.source.lsn)).size).toBe(1);
    const stored = (await storedUntil(kafka, from, isBehindAll)).slice(-rows.length);
    expect(stored).toHaveLength(rows.length);

    const after: unknown[][] = [];
    let before = rows.length;
    for (const [index, offset] of stored.entries()) {
      await resume({ api, url: stack.env.SLUICE_CONNECT_URL! }, { ...rowByRow, 'slot.name': slots[index]! }, offset);
      await insertEvents([A], `behind ${index}`);
      const all = await cdc.until(CDC_EVENTS, (read) => withDevice(read, `behind ${index}`).length === 1);
      after.push([...rows.slice(0, index + 1), ...captured(all).slice(before)]);
      before = captured(all).length;
    }
    expect(after).toEqual(rows.map(() => rows));
  });

  afterAll(async () => {
    await resume({ api, url: stack.env.SLUICE_CONNECT_URL! }, wanted());
    await waitUntilRunning(api, CONNECTOR_NAME, 30_000);
    for (const slot of slots) await owner.query('SELECT pg_drop_replication_slot($1)', [slot]);
  }, 60_000);
});

describe('an incremental snapshot', { timeout: 60_000 }, () => {
  it('brings every row of few contents, and leaves nothing in the signal table', async () => {
    const ids = await insertEvents(
      Array.from({ length: 5_000 }, (_, n) => (n % 2 === 0 ? A : B)),
      'bulk',
    );
    await owner.query('INSERT INTO sluice_signal (id, type, data) VALUES ($1, $2, $3)', [
      'test-1',
      'execute-snapshot',
      JSON.stringify({ 'data-collections': ['public.engagement_events'], type: 'incremental' }),
    ]);
    const reread = (records: readonly CdcRecord[]) =>
      new Set(withDevice(records, 'bulk').flatMap(({ key, value }) => (value.op === 'r' ? [key.id] : [])));
    const records = await cdc.until(CDC_EVENTS, (read) => reread(read).size >= ids.length);
    expect(reread(records)).toEqual(new Set(ids));
    const { rows } = await owner.query(`SELECT id FROM sluice_signal WHERE id <> 'test-1'`);
    expect(rows).toEqual([]);
    const written = await cdc.until('sluice.notifications', (read) =>
      read.some(({ value }) => describes(value, 'Incremental Snapshot', 'COMPLETED')),
    );
    expect(written.some(({ value }) => describes(value, 'Incremental Snapshot', 'STARTED'))).toBe(true);
  });
});

function describes(value: unknown, aggregate: string, type: string): boolean {
  const notification = value as { readonly aggregate_type: string; readonly type: string };
  return notification.aggregate_type === aggregate && notification.type === type;
}

describe('deleting the connector', { timeout: 60_000 }, () => {
  const slots = async () =>
    (await owner.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [SLOT_NAME])).rowCount;

  it('keeps the slot, so that nothing is missed, unless told to forget', async () => {
    expect(await connector(['delete'])).toEqual({ status: 0, output: expect.stringContaining('keeps WAL') });
    expect(await slots()).toBe(1);
    const [id] = await insertEvents([C], 'meanwhile');
    expect((await connector(['register'])).status).toBe(0);
    const records = await cdc.until(CDC_EVENTS, (read) => withDevice(read, 'meanwhile').length > 0);
    expect(withDevice(records, 'meanwhile').map(({ key }) => key.id)).toEqual([id]);
    expect(await connector(['delete', '--forget'])).toEqual({ status: 0, output: expect.stringContaining('dropped') });
    expect(await slots()).toBe(0);
    expect((await connector(['status'])).status).toBe(1);
  });

  it('and starting anew reads every row again, also when the start is interrupted', async () => {
    const rereads = (records: readonly CdcRecord[]) => records.filter(({ value }) => value.op === 'r').length;
    const before = rereads(await cdc.until(CDC_CONTENT, (read) => read.length >= 3));
    await api.putConfig(CONNECTOR_NAME, withoutNotifications(wanted()));
    await waitUntilRunning(api, CONNECTOR_NAME, 30_000);
    // Restarts the task while it takes its snapshot.
    await api.putConfig(CONNECTOR_NAME, { ...withoutNotifications(wanted()), 'max.batch.size': '1024' });
    expect((await registerConnector(api, { name: CONNECTOR_NAME, config: wanted() })).outcome).toBe('updated');
    const records = await cdc.until(CDC_CONTENT, (read) => rereads(read) >= before + 3);
    expect(new Set(records.slice(before).map(({ key }) => key.id))).toEqual(new Set([A, B, C]));
  });
});
