/** A private Postgres for one test file, as the native stack starts it: its own port and folder, both gone afterwards. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startStack } from '../../../infra/native/stack.ts';
import { freePortBase } from '../../support/ports.ts';

export interface TestPostgres {
  /** URL of a database as the owner, or as another role. */
  url(database: string, role?: { readonly name: string; readonly password: string }): string;
  readonly port: number;
  createDatabase(name: string): Promise<string>;
  /** All that the server has logged, every statement included. */
  log(): string;
  stop(): Promise<void>;
}

/** Starts a server with logical decoding. As root it runs as another system user. */
export async function startPostgres(): Promise<TestPostgres> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-postgres-'));
  const stack = await startStack({ home, portBase: await freePortBase(), services: ['postgres'] });
  const owner = new URL(stack.env.SLUICE_POSTGRES_URL!);
  const url: TestPostgres['url'] = (database, role = { name: owner.username, password: owner.password }) =>
    `postgres://${role.name}:${role.password}@${owner.host}/${database}`;
  const asOwner = async (...statements: readonly string[]) => {
    const client = new pg.Client({ connectionString: url('postgres') });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  try {
    await asOwner("ALTER SYSTEM SET log_statement = 'all'", 'SELECT pg_reload_conf()');
  } catch (cause) {
    await stack.stop({ remove: true });
    throw cause;
  }
  return {
    url,
    port: Number(owner.port),
    async createDatabase(name) {
      await asOwner(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      return url(name);
    },
    log: () => readFileSync(join(home, 'logs', 'postgres.log'), 'utf8'),
    stop: () => stack.stop({ remove: true }),
  };
}
