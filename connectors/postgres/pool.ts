/** Connections to Postgres: a small pool with a deadline on everything, and errors that say what to do. */
import pg from 'pg';
import { postgresError } from './errors.ts';
import { sluiceTypes } from './types.ts';

export interface PostgresOptions {
  /** postgres://user:password@host:port/database */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly maxConnections?: number;
  readonly connectTimeoutMs?: number;
  /** The server gives a statement up after this; 0 never. */
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
}

/** A value that may be bound to a parameter. */
export type SqlValue = string | number | bigint | boolean | Uint8Array | Date | null | readonly SqlValue[];

export interface SqlResult<Row> {
  readonly rows: readonly Row[];
  readonly rowCount: number;
}

/** Anything that runs one parametrised statement: the pool, or one connection of it inside a transaction. */
export interface Sql {
  query<Row extends object>(text: string, values?: readonly SqlValue[]): Promise<SqlResult<Row>>;
}

/** How a transaction reads. A snapshot name comes from `withExportedSnapshot`. */
export type TransactionMode =
  | { readonly kind: 'read-write' }
  | { readonly kind: 'snapshot'; readonly snapshotName: string };

const APPLICATION_KEEPALIVE_MS = 10_000;

/** The settings of one connection, for the pool and for whoever needs a connection of their own. */
export function clientConfig(options: PostgresOptions): pg.ClientConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
  return {
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? 10_000,
    // The server's own deadline comes first; this one is for a server that no longer answers at all.
    query_timeout: statementTimeoutMs === 0 ? undefined : statementTimeoutMs + 5_000,
    idle_in_transaction_session_timeout: 60_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: APPLICATION_KEEPALIVE_MS,
    types: sluiceTypes,
  };
}

/** Wraps one connection so that its errors are classified. */
export function sqlOf(client: { query: pg.ClientBase['query'] }): Sql {
  return {
    async query<Row extends object>(text: string, values: readonly SqlValue[] = []) {
      try {
        const result = await client.query<Row & pg.QueryResultRow>(text, [...values]);
        return { rows: result.rows, rowCount: result.rowCount ?? 0 };
      } catch (error) {
        throw postgresError(error, `run "${text.trim().replace(/\s+/g, ' ').slice(0, 80)}"`);
      }
    },
  };
}

/** A pool of connections. Close it: open connections keep the process alive. */
export class PostgresPool implements Sql {
  readonly #pool: pg.Pool;

  constructor(options: PostgresOptions) {
    this.#pool = new pg.Pool({
      ...clientConfig(options),
      max: options.maxConnections ?? 4,
      idleTimeoutMillis: 30_000,
    });
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    this.#pool.on('error', () => undefined);
  }

  async query<Row extends object>(text: string, values: readonly SqlValue[] = []): Promise<SqlResult<Row>> {
    return sqlOf({ query: this.#pool.query.bind(this.#pool) as pg.ClientBase['query'] }).query<Row>(text, values);
  }

  /**
   * Runs `work` in one transaction and commits it, or rolls back when it throws.
   * With a snapshot: REPEATABLE READ, READ ONLY, and exactly what the exporting session sees.
   */
  async transaction<T>(work: (sql: Sql) => Promise<T>, mode: TransactionMode = { kind: 'read-write' }): Promise<T> {
    const client = await this.#connect();
    let broken: Error | undefined;
    try {
      await begin(client, mode);
      const result = await work(sqlOf(client));
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((reason: unknown) => {
        broken = reason instanceof Error ? reason : new Error(String(reason));
      });
      throw postgresError(error, 'run a transaction');
    } finally {
      // A connection that could not even roll back is in an unknown state: it must not be handed out again.
      client.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw postgresError(error, 'connect to Postgres');
    }
  }
}

async function begin(client: pg.PoolClient, mode: TransactionMode): Promise<void> {
  switch (mode.kind) {
    case 'read-write':
      await client.query('BEGIN');
      return;
    case 'snapshot':
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      // SET takes no parameters; the name is quoted as a literal.
      await client.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(mode.snapshotName)}`);
      return;
    default:
      mode satisfies never;
  }
}
