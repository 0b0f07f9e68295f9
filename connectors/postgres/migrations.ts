/** Applies the numbered SQL files of a folder: forward only, once each, one transaction a file. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { SluiceError } from '../../engine/errors.ts';
import { postgresError } from './errors.ts';
import { clientConfig, type Sql, sqlOf } from './pool.ts';
import { scramVerifier } from './scram.ts';

export interface MigrateOptions {
  /** The owner of the database: migrations create roles and a publication. */
  readonly url: string;
  /** Folder with NNNN_name.sql files. */
  readonly directory: string;
  /** Passwords to set, by role name. A role that is not named keeps what it has. */
  readonly rolePasswords?: Readonly<Record<string, string>>;
  /** How long to wait for another migration that is running. */
  readonly lockTimeoutMs?: number;
}

export interface MigrateResult {
  /** File names in the order they were applied now. */
  readonly applied: readonly string[];
  readonly alreadyApplied: number;
  readonly passwordsSet: readonly string[];
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** Any fixed number serves, as long as nobody else takes an advisory lock by it in this database. */
const LOCK_KEY = 7_310_579_661_003n;

const LEDGER = `CREATE TABLE IF NOT EXISTS sluice_migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`;

/**
 * Brings the database up to date and sets the roles' passwords. Safe to run twice and by two at once.
 *
 * Throws MIGRATION_FILES (a bad name, a number twice or missing), MIGRATION_CHANGED (an applied file was edited or is
 * gone), MIGRATION_FAILED (the file and the reason; nothing of that file stays), all fatal; else as `postgresError`.
 */
export async function migratePostgres(options: MigrateOptions): Promise<MigrateResult> {
  const migrations = await readMigrations(options.directory);
  const client = new pg.Client(
    clientConfig({
      url: options.url,
      applicationName: 'sluice-migrate',
      statementTimeoutMs: 0,
      lockTimeoutMs: options.lockTimeoutMs ?? 60_000,
    }),
  );
  client.on('error', () => undefined);
  try {
    await client.connect();
    const sql = sqlOf(client);
    await sql.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
    await sql.query(LEDGER);
    const pending = await pendingMigrations(sql, migrations);
    for (const migration of pending) await applyOne(client, migration);
    const passwordsSet = await setPasswords(sql, options.rolePasswords ?? {});
    return {
      applied: pending.map((migration) => migration.name),
      alreadyApplied: migrations.length - pending.length,
      passwordsSet,
    };
  } catch (error) {
    throw postgresError(error, 'migrate Postgres');
  } finally {
    // The advisory lock ends with the session.
    await client.end().catch(() => undefined);
  }
}

async function readMigrations(directory: string): Promise<readonly Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const name of names) {
    const version = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
    if (version === undefined) throw filesError(`${name}: expected NNNN_lower_case.sql`);
    if (Number(version) !== migrations.length + 1)
      throw filesError(`${name}: expected number ${migrations.length + 1}`);
    const sql = await readFile(join(directory, name), 'utf8');
    const checksum = createHash('sha256').update(sql).digest('hex');
    migrations.push({ version: Number(version), name, sql, checksum });
  }
  if (migrations.length === 0) throw filesError(`no .sql files in ${directory}`);
  return migrations;
}

function filesError(text: string): SluiceError {
  return new SluiceError(`Bad migration files: ${text}`, { code: 'MIGRATION_FILES', action: 'fatal' });
}

async function pendingMigrations(sql: Sql, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  interface Row {
    readonly version: number;
    readonly name: string;
    readonly checksum: string;
  }
  const { rows } = await sql.query<Row>('SELECT version, name, checksum FROM sluice_migrations ORDER BY version');
  for (const row of rows) {
    const file = migrations[row.version - 1];
    if (file?.checksum === row.checksum) continue;
    const what = file === undefined ? 'is no longer among the files' : `differs from what was applied (${file.name})`;
    throw new SluiceError(
      `Migration ${row.name} ${what}. Applied migrations are never edited: restore the file and add a new one.`,
      { code: 'MIGRATION_CHANGED', action: 'fatal' },
    );
  }
  return migrations.slice(rows.length);
}

async function applyOne(client: pg.Client, migration: Migration): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(migration.sql);
    await client.query('INSERT INTO sluice_migrations (version, name, checksum) VALUES ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    const reason = postgresError(error, `apply ${migration.name}`);
    throw new SluiceError(reason.message, { code: 'MIGRATION_FAILED', action: 'fatal', cause: error });
  }
}

async function setPasswords(sql: Sql, passwords: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const roles = Object.keys(passwords);
  for (const role of roles) {
    const verifier = scramVerifier(passwords[role] ?? '');
    await sql.query(`ALTER ROLE ${pg.escapeIdentifier(role)} PASSWORD ${pg.escapeLiteral(verifier)}`);
  }
  return roles;
}
