/**
 * A snapshot of the database with an exactly known position in the write-ahead log: a transaction is visible in it
 * exactly if it committed before that position.
 * https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-CREATE-REPLICATION-SLOT
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { SluiceError } from '../../engine/errors.ts';
import { postgresError } from './errors.ts';
import { type Lsn, parseLsn } from './lsn.ts';
import { clientConfig } from './pool.ts';

export interface ExportedSnapshot {
  /** The consistent point: all that committed before it is visible, nothing else. */
  readonly lsn: Lsn;
  /** For `PostgresPool.transaction(work, { kind: 'snapshot', snapshotName })`. */
  readonly snapshotName: string;
}

export interface SnapshotOptions {
  /** A role with REPLICATION, or a superuser. */
  readonly url: string;
  readonly applicationName: string;
  /** For the creation of the slot, which waits for every transaction that is writing at the time. */
  readonly createTimeoutMs?: number;
}

interface SlotRow {
  readonly slot_name: string;
  readonly consistent_point: string;
  readonly snapshot_name: string;
}

/**
 * Exports a snapshot, calls `work` with it, and gives it up whatever happens. Sessions that have imported the snapshot keep
 * it until their transaction ends; new ones can import it only while `work` runs. The slot is temporary: the server
 * drops it with the connection, so that it never outlives this process and never holds WAL back.
 *
 * Throws SNAPSHOT_TIMEOUT (retry) when a transaction that was writing did not end in time, else as `postgresError`.
 */
export async function withExportedSnapshot<T>(
  options: SnapshotOptions,
  work: (snapshot: ExportedSnapshot) => Promise<T>,
): Promise<T> {
  const createTimeoutMs = options.createTimeoutMs ?? 30_000;
  const client = new pg.Client({ ...replicationConfig(options, createTimeoutMs) });
  // A connection lost while `work` runs must not end the process; the sessions that imported the snapshot keep it.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(await createSlot(client, createTimeoutMs));
  } catch (error) {
    throw error instanceof SluiceError ? error : postgresError(error, 'export a snapshot');
  } finally {
    await disconnect(client);
  }
}

function replicationConfig(options: SnapshotOptions, createTimeoutMs: number): pg.ClientConfig {
  const config: pg.ClientConfig & { replication: string } = {
    ...clientConfig({ ...options, lockTimeoutMs: createTimeoutMs, statementTimeoutMs: 0 }),
    replication: 'database',
    // The session sits idle while others read its snapshot.
    idle_in_transaction_session_timeout: 0,
    // Waiting for writers, the server would not notice that we are gone and keep the slot: make it look.
    options: '-c client_connection_check_interval=1000',
  };
  return config;
}

async function createSlot(client: pg.Client, timeoutMs: number): Promise<ExportedSnapshot> {
  const name = `sluice_snapshot_${process.pid}_${randomBytes(6).toString('hex')}`;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(snapshotTimeout(timeoutMs)), timeoutMs + 1_000);
  });
  try {
    const statement = `CREATE_REPLICATION_SLOT ${name} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')`;
    const result = await Promise.race([client.query<SlotRow>(statement), late]);
    const row = result.rows[0];
    if (row === undefined) throw new TypeError('CREATE_REPLICATION_SLOT returned no row');
    return { lsn: parseLsn(row.consistent_point), snapshotName: row.snapshot_name };
  } catch (error) {
    const failure = postgresError(error, 'create a temporary replication slot');
    throw failure.code === 'POSTGRES_LOCK_TIMEOUT' ? snapshotTimeout(timeoutMs, error) : failure;
  } finally {
    clearTimeout(timer);
  }
}

function snapshotTimeout(timeoutMs: number, cause?: unknown): SluiceError {
  return new SluiceError(
    `No snapshot within ${timeoutMs} ms: a transaction that was writing has not ended (see pg_stat_activity.xact_start)`,
    { code: 'SNAPSHOT_TIMEOUT', action: 'retry', cause },
  );
}

/** Ends the connection, and cuts it when the server does not answer. */
async function disconnect(client: pg.Client): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const cut = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      resolve();
    }, 2_000);
  });
  await Promise.race([client.end().catch(() => undefined), cut]);
  clearTimeout(timer);
}
