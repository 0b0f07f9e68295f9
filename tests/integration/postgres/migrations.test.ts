import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { startPostgres, type TestPostgres } from './server.ts';

const SQL = fileURLToPath(new URL('../../../sql/postgres', import.meta.url));
const PASSWORDS = { sluice_capture: 'c-pass', sluice_writer: 'w-pass', sluice_reader: 'r-pass' };
const CONTENT = '00000000-0000-4000-8000-000000000001';

let server: TestPostgres;
const open: { close(): Promise<void> }[] = [];
const folders: string[] = [];

function pool(url: string): PostgresPool {
  const made = new PostgresPool({ url, applicationName: 'test' });
  open.push(made);
  return made;
}

const as = (database: string, name: keyof typeof PASSWORDS) =>
  pool(server.url(database, { name, password: PASSWORDS[name] }));

async function copyOfSql(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-sql-'));
  folders.push(folder);
  await cp(SQL, folder, { recursive: true });
  return folder;
}

beforeAll(async () => {
  server = await startPostgres();
  const url = await server.createDatabase('rights');
  await migratePostgres({ url, directory: SQL, rolePasswords: PASSWORDS });
  await pool(url).query(
    `INSERT INTO content VALUES ($1, 'a', 'A', 'podcast', 60, now()), (gen_random_uuid(), 'b', 'B', 'video', NULL, now())`,
    [CONTENT],
  );
}, 60_000);

afterAll(async () => {
  for (const resource of open) await resource.close();
  for (const folder of folders) await rm(folder, { recursive: true });
  await server?.stop();
});

describe('migrations', () => {
  it('are applied once, in order, and by one of two at the same time', async () => {
    const url = await server.createDatabase('fresh');
    const [one, two] = await Promise.all([
      migratePostgres({ url, directory: SQL }),
      migratePostgres({ url, directory: SQL }),
    ]);
    const names = [...one.applied, ...two.applied];
    expect(names.slice(0, 3)).toEqual(['0001_engagement_tables.sql', '0002_capture.sql', '0003_roles.sql']);
    const again = await migratePostgres({ url, directory: SQL });
    expect(again).toEqual({ applied: [], alreadyApplied: names.length, passwordsSet: [] });
  });

  it('refuse an applied file that was edited or is gone', async () => {
    const url = await server.createDatabase('edited');
    const directory = await copyOfSql();
    await migratePostgres({ url, directory });
    await writeFile(join(directory, '0002_capture.sql'), 'SELECT 1');
    await expect(migratePostgres({ url, directory })).rejects.toMatchObject({
      code: 'MIGRATION_CHANGED',
      message: expect.stringContaining('0002_capture.sql'),
    });
  });

  it('leave nothing of a file that fails, and say which one', async () => {
    const url = await server.createDatabase('failing');
    const directory = await copyOfSql();
    const before = (await readdir(directory)).filter((name) => name.endsWith('.sql')).length;
    const bad = `${String(before + 1).padStart(4, '0')}_bad.sql`;
    await writeFile(join(directory, bad), 'CREATE TABLE half_way (id int); SELECT 1/0;');
    await expect(migratePostgres({ url, directory })).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message: expect.stringContaining(bad),
    });
    const state = await pool(url).query(
      `SELECT to_regclass('half_way') IS NULL AS gone, (SELECT max(version) FROM sluice_migrations) AS version`,
    );
    expect(state.rows).toEqual([{ gone: true, version: before }]);
    await writeFile(join(directory, bad), 'CREATE TABLE whole (id int)');
    expect((await migratePostgres({ url, directory })).applied).toEqual([bad]);
  });

  it('refuse a gap in the numbers before touching the database', async () => {
    const directory = await copyOfSql();
    await writeFile(join(directory, '0099_far.sql'), 'SELECT 1');
    await expect(migratePostgres({ url: server.url('postgres'), directory })).rejects.toMatchObject({
      code: 'MIGRATION_FILES',
    });
  });
});

describe('the publication', () => {
  it('holds exactly the captured tables, with full before images of those that count', async () => {
    const tables = await pool(server.url('rights')).query(
      `SELECT c.relname AS name, c.relreplident AS identity FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
       JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = 'sluice' AND NOT p.puballtables ORDER BY 1`,
    );
    expect(tables.rows).toEqual([
      { name: 'content', identity: 'f' },
      { name: 'engagement_events', identity: 'f' },
      { name: 'sluice_heartbeat', identity: 'd' },
      { name: 'sluice_signal', identity: 'd' },
      { name: 'stock_prices', identity: 'f' },
      { name: 'stocks', identity: 'f' },
    ]);
  });

  it.each(['content', 'engagement_events', 'stocks', 'stock_prices', 'stock_prices_default'])(
    'keeps even the owner from truncating %s',
    async (table) => {
      await expect(pool(server.url('rights')).query(`TRUNCATE ${table} CASCADE`)).rejects.toMatchObject({
        message: expect.stringMatching(/cannot be captured row by row.*Use DELETE/),
      });
    },
  );
});

describe('the partitions of stock_prices', () => {
  it('are published as their root, each with full before images, and made by the writer', async () => {
    const writer = as('rights', 'sluice_writer');
    const made = await writer.query(`SELECT stock_prices_partition('1999-05-17') AS name`);
    expect(made.rows).toEqual([{ name: 'stock_prices_199905' }]);
    await writer.query(`SELECT stock_prices_partition('1999-05-18')`);
    const found = await pool(server.url('rights')).query(
      `SELECT c.relreplident AS identity, count(*)::int > 70 AS many FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'stock_prices'::regclass GROUP BY 1`,
    );
    expect(found.rows).toEqual([{ identity: 'f', many: true }]);
    const publication = await pool(server.url('rights')).query(
      `SELECT pubviaroot AS root FROM pg_publication WHERE pubname = 'sluice'`,
    );
    expect(publication.rows).toEqual([{ root: true }]);
  });

  it('keep what a stock is called and where it is listed', async () => {
    const writer = as('rights', 'sluice_writer');
    await writer.query(`INSERT INTO stocks (symbol, name, exchange) VALUES ('ABC', 'Abc', 'NYSE')`);
    await writer.query(`UPDATE stocks SET sector = 'Energy', active = false WHERE symbol = 'ABC'`);
    for (const change of [`symbol = 'ABD'`, `exchange = 'LSE'`]) {
      await expect(writer.query(`UPDATE stocks SET ${change} WHERE symbol = 'ABC'`)).rejects.toMatchObject({
        message: expect.stringContaining('never change'),
      });
    }
  });

  it('keep a stock that has bars', async () => {
    const writer = as('rights', 'sluice_writer');
    await writer.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES (70, 'XYZ', 'Xyz', 'NYSE')`);
    await writer.query(`INSERT INTO stock_prices VALUES (70, '2026-01-07 14:30Z', 1, 1, 1, 1, 1)`);
    await expect(writer.query('DELETE FROM stocks WHERE id = 70')).rejects.toMatchObject({
      code: 'POSTGRES_CONSTRAINT',
      message: expect.stringContaining('stock 70 (XYZ) has bars'),
    });
    await writer.query('DELETE FROM stock_prices WHERE stock_id = 70');
    await writer.query('DELETE FROM stocks WHERE id = 70');
  });
});

describe('an allowed value of a kind', () => {
  it('is added by plain SQL, and others stay refused', async () => {
    const owner = pool(server.url('rights'));
    const insert = (kind: string) =>
      owner.query(
        `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts) VALUES ($1, $1, $2, now())`,
        [CONTENT, kind],
      );
    await expect(insert('share')).rejects.toMatchObject({ code: 'POSTGRES_CONSTRAINT' });
    await owner.query(`ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_event_type_known,
      ADD CONSTRAINT engagement_events_event_type_known
      CHECK (event_type IN ('play', 'pause', 'finish', 'click', 'share')) NOT VALID`);
    await owner.query('ALTER TABLE engagement_events VALIDATE CONSTRAINT engagement_events_event_type_known');
    expect((await insert('share')).rowCount).toBe(1);
    await expect(insert('shout')).rejects.toMatchObject({ code: 'POSTGRES_CONSTRAINT' });
  });
});

describe('the roles', () => {
  it('let the writer change rows, and nothing more', async () => {
    const writer = as('rights', 'sluice_writer');
    const { rows } = await writer.query<{ id: bigint }>(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts) VALUES ($1, $1, 'play', now()) RETURNING id`,
      [CONTENT],
    );
    expect(typeof rows[0]?.id).toBe('bigint');
    for (const statement of ['TRUNCATE engagement_events', 'DELETE FROM sluice_signal', 'CREATE TABLE mine (id int)']) {
      await expect(writer.query(statement), statement).rejects.toMatchObject({ code: 'POSTGRES_NOT_ALLOWED' });
    }
  });

  it('let capture read, beat and signal, and change no captured row', async () => {
    const capture = as('rights', 'sluice_capture');
    const beat = `INSERT INTO sluice_heartbeat VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET beat_at = EXCLUDED.beat_at`;
    await capture.query(beat);
    await capture.query(beat);
    await capture.query(`INSERT INTO sluice_signal VALUES ('w', 'snapshot-window-open', NULL)`);
    await capture.query(`DELETE FROM sluice_signal WHERE id = 'w'`);
    expect((await capture.query('SELECT 1 FROM content')).rowCount).toBe(2);
    const rights = await capture.query(
      'SELECT rolsuper, rolreplication, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user',
    );
    expect(rights.rows).toEqual([
      { rolsuper: false, rolreplication: true, rolcreaterole: false, rolcreatedb: false, rolbypassrls: false },
    ]);
    for (const statement of ['DELETE FROM content', `UPDATE engagement_events SET device = 'x'`]) {
      await expect(capture.query(statement), statement).rejects.toMatchObject({ code: 'POSTGRES_NOT_ALLOWED' });
    }
  });

  it('let the reader only read', async () => {
    const reader = as('rights', 'sluice_reader');
    expect((await reader.query('SELECT 1 FROM content')).rowCount).toBe(2);
    await expect(reader.query('DELETE FROM content')).rejects.toMatchObject({ code: 'POSTGRES_NOT_ALLOWED' });
  });

  it('get their passwords in no statement that the server could log', async () => {
    const before = as('rights', 'sluice_reader');
    await before.query('SELECT 1');
    await migratePostgres({
      url: server.url('rights'),
      directory: SQL,
      rolePasswords: { ...PASSWORDS, sluice_reader: `it's "new"` },
    });
    const changed = pool(server.url('rights', { name: 'sluice_reader', password: encodeURIComponent(`it's "new"`) }));
    expect((await changed.query('SELECT 1')).rowCount).toBe(1);
    expect(server.log()).toContain('ALTER ROLE "sluice_reader" PASSWORD');
    expect(server.log()).not.toContain(`it's "new"`);
    await migratePostgres({ url: server.url('rights'), directory: SQL, rolePasswords: PASSWORDS });
  });
});
