import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { withExportedSnapshot } from '../../../connectors/postgres/snapshot.ts';
import { startPostgres, type TestPostgres } from './server.ts';

const SQL = fileURLToPath(new URL('../../../sql/postgres', import.meta.url));
const CAPTURE = { name: 'sluice_capture', password: 'c-pass' };

let server: TestPostgres;
let owner: PostgresPool;
let url: string;
let inserted = 0;

const insertContent = () => {
  inserted += 1;
  return owner.query(`INSERT INTO content VALUES (gen_random_uuid(), $1, 'T', 'video', 1, now())`, [`s${inserted}`]);
};
const count = (snapshotName: string) =>
  owner.transaction(
    async (sql) => Number((await sql.query<{ n: bigint }>('SELECT count(*) AS n FROM content')).rows[0]?.n),
    { kind: 'snapshot', snapshotName },
  );
const slots = async () => (await owner.query('SELECT slot_name FROM pg_replication_slots')).rows;

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within 10 s: ${what}`);
  }
}

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('snapshot');
  await migratePostgres({ url, directory: SQL, rolePasswords: { [CAPTURE.name]: CAPTURE.password } });
  owner = new PostgresPool({ url, applicationName: 'test' });
}, 60_000);

beforeEach(async () => {
  await owner.query('DELETE FROM content');
});

afterAll(async () => {
  await owner?.close();
  await server?.stop();
});

describe('an exported snapshot', () => {
  const options = () => ({ url: server.url('snapshot', CAPTURE), applicationName: 'test-snapshot' });

  it('shows what committed before its position and nothing after, alike in two sessions', async () => {
    await insertContent();
    const before = parseLsn(
      (await owner.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')).rows[0]!.lsn,
    );
    const seen = await withExportedSnapshot(options(), async ({ lsn, snapshotName }) => {
      const first = count(snapshotName);
      await insertContent();
      const after = parseLsn(
        (await owner.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')).rows[0]!.lsn,
      );
      expect(lsn >= before && lsn < after).toBe(true);
      return Promise.all([first, count(snapshotName)]);
    });
    expect(seen).toEqual([1, 1]);
    expect((await owner.query('SELECT 1 FROM content')).rowCount).toBe(2);
  });

  it('waits for a transaction that is writing, and then shows it', async () => {
    const writer = new pg.Client({ connectionString: url });
    await writer.connect();
    try {
      await writer.query('BEGIN');
      await writer.query(`INSERT INTO content VALUES (gen_random_uuid(), 'open', 'T', 'video', 1, now())`);
      const seen = withExportedSnapshot(options(), ({ snapshotName }) => count(snapshotName));
      await until('the slot waits for the writer', async () => {
        const waiting = await owner.query(
          `SELECT 1 FROM pg_stat_activity WHERE application_name = 'test-snapshot' AND wait_event_type = 'Lock'`,
        );
        return waiting.rowCount > 0;
      });
      await writer.query('COMMIT');
      expect(await seen).toBe(1);
    } finally {
      await writer.end();
    }
  });

  it('gives up after its deadline, and leaves no slot', async () => {
    const writer = new pg.Client({ connectionString: url });
    await writer.connect();
    try {
      await writer.query('BEGIN');
      await writer.query(`INSERT INTO content VALUES (gen_random_uuid(), 'open', 'T', 'video', 1, now())`);
      await expect(
        withExportedSnapshot({ ...options(), createTimeoutMs: 300 }, async () => 'never'),
      ).rejects.toMatchObject({ code: 'SNAPSHOT_TIMEOUT', action: 'retry' });
      await until('the slot is gone', async () => (await slots()).length === 0);
    } finally {
      await writer.end();
    }
  });

  it('is dropped when the work throws, and its error comes through', async () => {
    const failure = withExportedSnapshot(options(), async () => {
      expect(await slots()).toHaveLength(1);
      throw new TypeError('the work is at fault');
    });
    await expect(failure).rejects.toThrow('the work is at fault');
    await until('the slot is gone', async () => (await slots()).length === 0);
  });

  it('cannot be imported once it is given up', async () => {
    const stale = await withExportedSnapshot(options(), async ({ snapshotName }) => snapshotName);
    await until('the slot is gone', async () => (await slots()).length === 0);
    await expect(count(stale)).rejects.toMatchObject({ message: expect.stringContaining('snapshot') });
  });

  it('needs the right to replicate', async () => {
    await owner.query(`CREATE ROLE nobody LOGIN PASSWORD 'n'`);
    await expect(
      withExportedSnapshot(
        { url: server.url('snapshot', { name: 'nobody', password: 'n' }), applicationName: 'test' },
        async () => 'never',
      ),
    ).rejects.toMatchObject({ action: 'fatal' });
    await owner.query('DROP ROLE nobody');
  });
});

describe('the pool', () => {
  it('rolls back, classifies, and hands the connection out again', async () => {
    await expect(
      owner.transaction(async (sql) => {
        await sql.query(`INSERT INTO content VALUES (gen_random_uuid(), 'x', 'T', 'video', 1, now())`);
        await sql.query(`INSERT INTO content VALUES (gen_random_uuid(), 'x', 'T', 'video', 1, now())`);
      }),
    ).rejects.toMatchObject({ code: 'POSTGRES_CONSTRAINT', action: 'dead-letter' });
    expect((await owner.query('SELECT 1 FROM content')).rowCount).toBe(0);
  });

  it('outlives connections that the server closed', async () => {
    const victims = new PostgresPool({ url, applicationName: 'victim', maxConnections: 1 });
    try {
      await victims.query('SELECT 1');
      await owner.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'`);
      await until('the pool answers again', () =>
        victims.query('SELECT 1').then(
          () => true,
          () => false,
        ),
      );
    } finally {
      await victims.close();
    }
  });

  it('has a deadline on each statement', async () => {
    const hurried = new PostgresPool({ url, applicationName: 'hurried', statementTimeoutMs: 50 });
    try {
      await expect(hurried.query('SELECT pg_sleep(20)')).rejects.toMatchObject({ code: 'POSTGRES_STATEMENT_TIMEOUT' });
    } finally {
      await hurried.close();
    }
  });
});
