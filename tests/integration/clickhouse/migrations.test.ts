import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseClient, selectRows } from '../../../connectors/clickhouse/client.ts';
import { type MigrateClickHouseOptions, migrateClickHouse } from '../../../connectors/clickhouse/migrations.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { CLICKHOUSE_SQL } from '../../support/engagement-figures.ts';

let server: TestClickHouse;

beforeAll(async () => {
  server = await startClickHouse();
}, 60_000);
afterAll(() => server?.stop(), 60_000);

const config = (database: string) => ({ url: server.url, database, username: 'default', password: '' });
const migrate = (database: string, rest: Partial<MigrateClickHouseOptions> = {}) =>
  migrateClickHouse({ config: config(database), directory: CLICKHOUSE_SQL, ...rest });

async function ask<T>(database: string, query: string): Promise<readonly T[]> {
  const client = clickHouseClient(config(database));
  try {
    return await selectRows<T>(client, query);
  } finally {
    await client.close();
  }
}

/** Runs `work` on a folder with these files. */
async function withFiles<T>(
  files: Readonly<Record<string, string>>,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-migrations-'));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const TABLE = 'CREATE TABLE IF NOT EXISTS a (id UInt8) ENGINE = MergeTree ORDER BY id;\n';

describe('migrateClickHouse', { timeout: 60_000 }, () => {
  it('applies every file once, also when two start at the same time', async () => {
    const names = (await readdir(CLICKHOUSE_SQL)).filter((name) => name.endsWith('.sql')).sort();
    await Promise.all([migrate('twice'), migrate('twice')]);
    expect(await migrate('twice')).toEqual({ applied: [], alreadyApplied: names.length, ttlChanged: [] });
    const ledger = await ask<{ name: string }>('twice', 'SELECT name FROM sluice_migrations FINAL ORDER BY version');
    expect(ledger.map(({ name }) => name)).toEqual(names);
  });

  it('describes every column of every table and view', async () => {
    await migrate('described');
    const bare = await ask(
      'described',
      `SELECT table, name FROM system.columns
       WHERE database = currentDatabase() AND comment = '' AND table NOT LIKE '%_feed' AND table NOT LIKE '.inner%'`,
    );
    expect(bare).toEqual([]);
    const tables = await ask<{ n: string }>(
      'described',
      'SELECT uniqExact(table) AS n FROM system.columns WHERE database = currentDatabase()',
    );
    expect(Number(tables[0]!.n)).toBeGreaterThan(15);
  });

  it('gives every table that a view feeds its own deduplication window', async () => {
    await migrate('windows');
    const bare = await ask(
      'windows',
      `SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, '^(engagement|prices)_') AND engine LIKE '%MergeTree'
       AND engine_full NOT LIKE '%non_replicated_deduplication_window = 10000%'`,
    );
    expect(bare).toEqual([]);
  });

  it('inserts into no table of many columns with files for each of them', async () => {
    await migrate('files');
    const wide = await ask<{ name: string; limit: string }>(
      'files',
      `SELECT name, extract(engine_full, 'min_bytes_for_wide_part = (\\\\d+)') AS limit
       FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name IN
         (SELECT table FROM system.columns WHERE database = currentDatabase() GROUP BY table HAVING count() > 15)`,
    );
    expect(wide.length).toBeGreaterThan(5);
    expect(wide.filter(({ limit }) => limit !== String(64 << 20))).toEqual([]);
  });

  it('sets, changes and removes times to live', async () => {
    const engine = async () =>
      (
        await ask<{ engine_full: string }>(
          'ttl',
          "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'engagement_changes'",
        )
      )[0]!.engine_full;
    expect(
      (await migrate('ttl', { ttlDays: { engagement_changes: 30, engagement_weekly_store: 800 } })).ttlChanged,
    ).toEqual(['engagement_changes', 'engagement_weekly_store']);
    expect(await engine()).toContain('toIntervalDay(30)');
    expect(
      (await migrate('ttl', { ttlDays: { engagement_changes: 30, engagement_weekly_store: 800 } })).ttlChanged,
    ).toEqual([]);
    expect((await migrate('ttl', { ttlDays: { engagement_changes: 60 } })).ttlChanged).toEqual([
      'engagement_changes',
      'engagement_weekly_store',
    ]);
    expect(await engine()).toContain('toIntervalDay(60)');
    await expect(migrate('ttl', { ttlDays: { nothing: 1 } })).rejects.toMatchObject({ code: 'MIGRATION_FILES' });
  });

  it('refuses files that were edited, are gone, out of order or badly named', async () => {
    const run = (files: Readonly<Record<string, string>>) =>
      withFiles(files, (directory) => migrate('edited', { directory }));
    expect((await run({ '0001_a.sql': TABLE })).applied).toEqual(['0001_a.sql']);
    await expect(run({ '0001_a.sql': `${TABLE}\n` })).rejects.toMatchObject({
      code: 'MIGRATION_CHANGED',
      action: 'fatal',
    });
    await expect(run({ '0001_a.sql': TABLE, '0003_c.sql': TABLE })).rejects.toMatchObject({ code: 'MIGRATION_FILES' });
    await expect(run({ 'first.sql': TABLE })).rejects.toMatchObject({ code: 'MIGRATION_FILES' });
    await expect(run({})).rejects.toMatchObject({ code: 'MIGRATION_FILES' });
    await expect(run({ '0001_a.sql': TABLE, '0002_b.sql': 'SELECT {what:ever};' })).rejects.toMatchObject({
      code: 'MIGRATION_FILES',
    });
  });

  it('says which statement failed, and goes on from there when it is mended', async () => {
    const bad = 'CREATE TABLE IF NOT EXISTS b (id Nonsense) ENGINE = MergeTree ORDER BY id;\n';
    const good = bad.replace('Nonsense', 'UInt8');
    const run = (second: string) =>
      withFiles({ '0001_a.sql': TABLE, '0002_b.sql': TABLE.replace(' a ', ' c ') + second }, (directory) =>
        migrate('mended', { directory }),
      );
    await expect(run(bad)).rejects.toMatchObject({ code: 'MIGRATION_FAILED', action: 'fatal' });
    await expect(run(bad)).rejects.toThrow(/0002_b\.sql[\s\S]*Nonsense/);
    expect((await run(good)).applied).toEqual(['0002_b.sql']);
  });

  it('writes every statement so that it may run again', async () => {
    for (const name of (await readdir(CLICKHOUSE_SQL)).filter((file) => file.endsWith('.sql'))) {
      const text = await readFile(join(CLICKHOUSE_SQL, name), 'utf8');
      const creates = text.match(/^CREATE .*$/gm) ?? [];
      const alters = text.match(/^ALTER [^;]*;/gm) ?? [];
      expect(creates.length + alters.length).toBeGreaterThan(0);
      for (const line of creates)
        expect(line).toMatch(/^CREATE (TABLE IF NOT EXISTS|MATERIALIZED VIEW IF NOT EXISTS|OR REPLACE VIEW) /);
      for (const statement of alters) expect(statement).not.toMatch(/\b(ADD|DROP) \w+ (?!IF )/);
    }
  });

  it('asks for a retry when the server is away', async () => {
    const away = { url: 'http://127.0.0.1:1', database: 'x', username: 'default', password: '' };
    await expect(migrateClickHouse({ config: away, directory: CLICKHOUSE_SQL })).rejects.toMatchObject({
      code: 'CLICKHOUSE_UNREACHABLE',
      action: 'retry',
    });
  });
});
