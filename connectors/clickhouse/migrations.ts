/** Applies the numbered SQL files of a folder to ClickHouse: forward only, once each, for one node or a cluster. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import { SluiceError } from '../../engine/errors.ts';
import { type ClickHouseConfig, clickHouseClient, selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';
import { type ClusterOptions, type Rendered, renderMigration } from './render.ts';

export interface MigrateClickHouseOptions {
  readonly config: ClickHouseConfig;
  /** Folder with NNNN_name.sql files; other names and subfolders are left alone. */
  readonly directory: string;
  /** Replicated engines, ON CLUSTER and Distributed tables. One node without. */
  readonly cluster?: ClusterOptions;
  /** Days that rows are kept, by table, for the tables with a `-- ttl:` line. A table that is not named keeps everything. */
  readonly ttlDays?: Readonly<Record<string, number>>;
}

export interface MigrateClickHouseResult {
  /** File names in the order they were applied now. */
  readonly applied: readonly string[];
  readonly alreadyApplied: number;
  /** Tables whose time to live was changed now. */
  readonly ttlChanged: readonly string[];
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly rendered: Rendered;
}

const LEDGER = `CREATE TABLE IF NOT EXISTS {table:sluice_migrations}{on_cluster} (
  version UInt32 COMMENT 'number of the file',
  name String COMMENT 'name of the file',
  checksum String COMMENT 'SHA-256 of the file, before its placeholders were filled in',
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY version
COMMENT 'Which files of sql/clickhouse are applied';
{distributed:sluice_migrations version}`;

const filesError = (text: string) =>
  new SluiceError(`Bad migration files: ${text}`, { code: 'MIGRATION_FILES', action: 'fatal' });

async function readMigrations(directory: string, cluster?: ClusterOptions): Promise<readonly Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const name of names) {
    const version = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
    if (version === undefined) throw filesError(`${name}: expected NNNN_lower_case.sql`);
    if (Number(version) !== migrations.length + 1)
      throw filesError(`${name}: expected number ${migrations.length + 1}`);
    const template = await readFile(join(directory, name), 'utf8');
    const checksum = createHash('sha256').update(template).digest('hex');
    migrations.push({ version: Number(version), name, checksum, rendered: renderMigration(template, cluster) });
  }
  if (migrations.length === 0) throw filesError(`no .sql files in ${directory}`);
  return migrations;
}

interface LedgerRow {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

function pendingOf(migrations: readonly Migration[], ledger: readonly LedgerRow[]): readonly Migration[] {
  for (const row of ledger) {
    const file = migrations[row.version - 1];
    if (file?.checksum === row.checksum) continue;
    const what = file === undefined ? 'is no longer among the files' : `differs from what was applied (${file.name})`;
    throw new SluiceError(
      `Migration ${row.name} ${what}. Applied migrations are never edited: restore the file and add a new one.`,
      { code: 'MIGRATION_CHANGED', action: 'fatal' },
    );
  }
  const applied = new Set(ledger.map((row) => row.version));
  return migrations.filter((migration) => !applied.has(migration.version));
}

/** DDL has no transactions here, so every statement is one that may run again: a file half applied is applied again. */
async function applyOne(client: ClickHouseClient, migration: Migration): Promise<void> {
  for (const statement of migration.rendered.statements) {
    try {
      await client.command({ query: statement });
    } catch (cause) {
      const reason = clickHouseError(cause, `apply ${migration.name}`);
      throw new SluiceError(`${reason.message}\nin: ${statement.slice(0, 200)}`, {
        code: reason.action === 'retry' ? reason.code : 'MIGRATION_FAILED',
        action: reason.action === 'retry' ? 'retry' : 'fatal',
        cause,
      });
    }
  }
  await client.insert({
    table: 'sluice_migrations',
    columns: ['version', 'name', 'checksum'],
    values: [[migration.version, migration.name, migration.checksum]],
    format: 'JSONCompactEachRow',
    clickhouse_settings: { async_insert: 0, distributed_foreground_insert: 1 },
  });
}

/** Times to live are configuration, not history: they are compared with what the tables say, and changed when they differ. */
async function applyTtl(
  client: ClickHouseClient,
  migrations: readonly Migration[],
  options: MigrateClickHouseOptions,
): Promise<readonly string[]> {
  const wanted = options.ttlDays ?? {};
  const known = new Map(migrations.flatMap((migration) => [...migration.rendered.ttl]));
  const strangers = Object.keys(wanted).filter((name) => !known.has(name));
  if (strangers.length > 0) throw filesError(`no '-- ttl:' line for ${strangers.join(', ')}`);
  const on = options.cluster === undefined ? '' : ` ON CLUSTER '${options.cluster.name}'`;
  const changed: string[] = [];
  for (const [name, { table, expression }] of known) {
    const [row] = await selectRows<{ engine_full: string }>(
      client,
      'SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}',
      { table },
    );
    const has = /\bTTL .*?toIntervalDay\((\d+)\)/s.exec(row?.engine_full ?? '')?.[1];
    const days = wanted[name];
    if (days === undefined && has === undefined) continue;
    if (days !== undefined && Number(has) === days) continue;
    if (days !== undefined && !(Number.isInteger(days) && days > 0)) throw filesError(`ttlDays of ${name}: ${days}`);
    const change = days === undefined ? 'REMOVE TTL' : `MODIFY TTL ${expression} + toIntervalDay(${days})`;
    await client.command({ query: `ALTER TABLE ${table}${on} ${change}` });
    changed.push(name);
  }
  return changed;
}

/**
 * Makes the database and brings it up to date. Safe to run twice and by two at once.
 *
 * Throws MIGRATION_FILES (a bad name, a number twice or missing, an unknown placeholder), MIGRATION_CHANGED (an applied
 * file was edited or is gone), MIGRATION_FAILED (the statement and the reason), all fatal; else as `clickHouseError`.
 */
export async function migrateClickHouse(options: MigrateClickHouseOptions): Promise<MigrateClickHouseResult> {
  const { config, cluster } = options;
  const migrations = await readMigrations(options.directory, cluster);
  const on = cluster === undefined ? '' : ` ON CLUSTER '${cluster.name}'`;
  const server = clickHouseClient({ ...config, database: 'default' });
  const client = clickHouseClient(config);
  try {
    await server.command({ query: `CREATE DATABASE IF NOT EXISTS ${quoted(config.database)}${on}` });
    for (const query of renderMigration(LEDGER, cluster).statements) await client.command({ query });
    const ledger = await selectRows<LedgerRow>(
      client,
      'SELECT version, any(name) AS name, any(checksum) AS checksum FROM sluice_migrations GROUP BY version ORDER BY version',
    );
    const pending = pendingOf(migrations, ledger);
    for (const migration of pending) await applyOne(client, migration);
    const ttlChanged = await applyTtl(client, migrations, options);
    return {
      applied: pending.map((migration) => migration.name),
      alreadyApplied: migrations.length - pending.length,
      ttlChanged,
    };
  } catch (error) {
    throw clickHouseError(error, `migrate ClickHouse at ${config.url}`);
  } finally {
    await Promise.all([server.close(), client.close()]);
  }
}

function quoted(identifier: string): string {
  if (!/^\w+$/.test(identifier)) throw filesError(`bad database name '${identifier}'`);
  return `\`${identifier}\``;
}
