import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { uuidText } from '../../../pipelines/engagement/traffic/catalogue.ts';
import { DEVICES, EVENT_TYPES } from '../../../pipelines/engagement/traffic/sessions.ts';
import { PAYLOADS, Traffic } from '../../../pipelines/engagement/traffic/traffic.ts';
import { runTraffic } from '../../../scripts/generate/run.ts';
import { TrafficWriter } from '../../../scripts/generate/writer.ts';
import { startPostgres, type TestPostgres } from '../postgres/server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const OPTIONS = { seed: 7, contents: 50, updates: 10, deletes: 4, late: 3, contentEditsPerMinute: 6_000 };

let server: TestPostgres;
let databases = 0;
const open: { close(): Promise<void> }[] = [];

async function database(): Promise<{ url: string; pool: PostgresPool }> {
  databases += 1;
  const url = await server.createDatabase(`traffic_${databases}`);
  await migratePostgres({ url, directory: `${ROOT}/sql/postgres` });
  const pool = new PostgresPool({ url, applicationName: 'test' });
  open.push(pool);
  return { url, pool };
}

const rowCount = async (pool: PostgresPool) =>
  Number((await pool.query<{ n: bigint }>('SELECT count(*) AS n FROM engagement_events')).rows[0]?.n);

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);

afterAll(async () => {
  for (const resource of open) await resource.close();
  await server?.stop();
});

describe('the writer', () => {
  it('stores exactly what the batch says, every column, NULLs included', async () => {
    const { url, pool } = await database();
    const writer = new TrafficWriter(url);
    open.push(writer);
    await writer.connect();
    const now = Date.UTC(2026, 0, 2) * 1_000;
    const traffic = new Traffic({ ...OPTIONS, updates: 0, deletes: 0 }, now);
    await writer.prepare(traffic);
    const batch = traffic.next(await writer.takeIds(300), now);
    await writer.write(batch, writer.encode(batch), traffic.contents);
    const { rows } = await pool.query(
      `SELECT id, content_id, user_id, event_type, (extract(epoch FROM event_ts) * 1000000)::int8 AS micros, duration_ms,
         device, raw_payload = p.json::jsonb AS same_payload, raw_payload IS NULL AS no_payload
       FROM engagement_events LEFT JOIN unnest($1::int8[], $2::text[]) AS p (id, json) USING (id) ORDER BY id`,
      [[...batch.inserts.ids].map(String), Array.from(batch.inserts.payload, (index) => PAYLOADS[index] ?? null)],
    );
    const { inserts } = batch;
    const expected = Array.from(inserts.ids, (id, at) => ({
      id,
      content_id: uuidText(traffic.contents[inserts.content[at]!]!.id),
      user_id: uuidText(traffic.users[inserts.user[at]!]!),
      event_type: EVENT_TYPES[inserts.type[at]!],
      micros: BigInt(inserts.eventMicros[at]!),
      duration_ms: inserts.durationMs[at]! < 0 ? null : inserts.durationMs[at],
      device: DEVICES[inserts.device[at]!] ?? null,
      same_payload: inserts.payload[at]! < 0 ? null : true,
      no_payload: inserts.payload[at]! < 0,
    }));
    expect(rows).toEqual(expected);
  });

  it('applies updates, deletes and edits of contents', async () => {
    const { url, pool } = await database();
    const writer = new TrafficWriter(url);
    open.push(writer);
    await writer.connect();
    const now = Date.UTC(2026, 0, 2) * 1_000;
    const traffic = new Traffic(OPTIONS, now);
    await writer.prepare(traffic);
    const first = traffic.next(await writer.takeIds(1_000), now);
    await writer.write(first, writer.encode(first), traffic.contents);
    const second = traffic.next(await writer.takeIds(1_000), now + 1e6);
    const written = await writer.write(second, writer.encode(second), traffic.contents);
    expect(written).toEqual({
      inserted: 1_000,
      updated: second.updates.size,
      deleted: second.deletes.length,
      contentEdits: second.contentEdits.size,
    });
    expect(second.contentEdits.size).toBeGreaterThan(20);
    const moved = [...second.updates].filter(([id]) => !second.deletes.includes(id));
    const { rows } = await pool.query<{ id: bigint; content_id: string; micros: bigint; duration_ms: number | null }>(
      `SELECT id, content_id, duration_ms, (extract(epoch FROM event_ts) * 1000000)::int8 AS micros
       FROM engagement_events WHERE id = ANY ($1::int8[])`,
      [moved.map(([id]) => id.toString())],
    );
    const stored = new Map(rows.map((row) => [row.id, row]));
    for (const [id, change] of moved) {
      const row = stored.get(id)!;
      if (change.durationMs !== undefined) expect(row.duration_ms).toBe(change.durationMs);
      if (change.eventMicros !== undefined) expect(row.micros).toBe(BigInt(change.eventMicros));
      if (change.content !== undefined) expect(row.content_id).toBe(uuidText(traffic.contents[change.content]!.id));
    }
    const slugs = await pool.query<{ slug: string; title: string }>('SELECT slug, title FROM content ORDER BY slug');
    const sorted = traffic.contents
      .map(({ slug, title }) => ({ slug, title }))
      .sort((a, b) => (a.slug < b.slug ? -1 : 1));
    expect(slugs.rows).toEqual(sorted);
  });

  it('takes no id that the application drew in between', async () => {
    const { url, pool } = await database();
    const writer = new TrafficWriter(url);
    open.push(writer);
    await writer.connect();
    const drawn = pool.query<{ id: bigint }>(
      `SELECT nextval('engagement_events_id_seq') AS id FROM generate_series(1, 5000)`,
    );
    const taken = await writer.takeIds(30_000);
    const others = new Set((await drawn).rows.map((row) => row.id));
    expect([...taken].filter((id) => others.has(id))).toEqual([]);
    expect(new Set(taken).size).toBe(30_000);
  });
});

describe('a run', () => {
  it('keeps the pace it was asked for, and says what it did', async () => {
    const { url, pool } = await database();
    const summary = await runTraffic({
      ...OPTIONS,
      url,
      rate: 500,
      seconds: 1,
      signal: new AbortController().signal,
    });
    expect(summary).toMatchObject({ rate: 500, inserted: 500, updated: expect.any(Number), deleted: 20 });
    expect(await rowCount(pool)).toBe(summary.inserted - summary.deleted);
  });

  it('also changes rows that an earlier run left', async () => {
    const { url, pool } = await database();
    const run = { ...OPTIONS, url, rate: 400, seconds: 1, signal: new AbortController().signal };
    await runTraffic(run);
    const { rows } = await pool.query<{ last: bigint }>('SELECT max(id) AS last FROM engagement_events');
    const before = await rowCount(pool);
    const second = await runTraffic({ ...run, seed: 8, deletes: 30 });
    const old = await pool.query<{ n: bigint }>('SELECT count(*) AS n FROM engagement_events WHERE id <= $1', [
      rows[0]!.last,
    ]);
    expect(Number(old.rows[0]?.n)).toBeLessThan(before);
    expect(await rowCount(pool)).toBe(before + second.inserted - second.deleted);
  });

  it('has no connection left open when the database refuses it', async () => {
    const failure = runTraffic({
      ...OPTIONS,
      url: server.url('postgres'),
      rate: 1,
      seconds: 1,
      signal: new AbortController().signal,
    });
    await expect(failure).rejects.toMatchObject({ code: 'POSTGRES_STATEMENT', action: 'fatal' });
  });
});

describe('npm run generate', () => {
  function start(url: string, ...options: string[]) {
    const child = spawn(process.execPath, ['scripts/generate.ts', ...options], {
      cwd: ROOT,
      env: { ...process.env, SLUICE_POSTGRES_URL: url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const ended = once(child, 'close').then(() => ({ status: child.exitCode, output, errors }));
    return { child, ended };
  }

  it('ends cleanly after the batch on SIGTERM, with everything it counted in the database', async () => {
    const { url, pool } = await database();
    const { child, ended } = start(url, '--rate', '0', '--seconds', '0', '--contents', '20', '--json');
    const deadline = Date.now() + 20_000;
    while ((await rowCount(pool)) === 0) {
      if (Date.now() > deadline) throw new Error('no row within 20 s');
    }
    child.kill('SIGTERM');
    const { status, output } = await ended;
    expect(status).toBe(0);
    const summary = JSON.parse(output.trim().split('\n').at(-1)!);
    expect(Object.keys(summary)).toEqual([
      ...['rate', 'seconds', 'inserted', 'updated', 'deleted', 'contentEdits', 'achievedRate'],
    ]);
    expect(await rowCount(pool)).toBe(summary.inserted - summary.deleted);
  });

  it('names the fault of a bad argument in one line, and a database that is not there', async () => {
    const bad = await start('postgres://nobody@127.0.0.1:1/none', '--updates', '101').ended;
    expect(bad).toMatchObject({ status: 1, errors: expect.stringContaining('expected a number from 0 to 100') });
    const absent = await start('postgres://nobody@127.0.0.1:1/none').ended;
    expect(absent).toMatchObject({ status: 2, errors: expect.stringContaining('POSTGRES_UNREACHABLE') });
  });
});
