/** Postgres 18 with logical decoding, from npm's platform packages. */
import { execFile } from 'node:child_process';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { processStart } from './lock.ts';
import { installPrograms, placePostgres, postgresFolder, systemUser } from './postgres-files.ts';
import { cleanEnvironment, type Place, type ServerDeclaration } from './service.ts';

const run = promisify(execFile);

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  // A socket's path has a length limit that a deep home breaks; clients use the port.
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: '10',
  max_replication_slots: '10',
  max_connections: '100',
  shared_buffers: '128MB',
  max_wal_size: '2GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

async function initialise(folder: string, programs: string, password: string): Promise<void> {
  const data = join(folder, 'data');
  if (existsSync(join(data, 'PG_VERSION'))) return;
  const user = systemUser();
  const draft = join(folder, 'data.new');
  const passwordFile = join(folder, 'password');
  rmSync(draft, { recursive: true, force: true });
  try {
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (user !== undefined) chownSync(passwordFile, user.uid, user.gid);
    const args = ['-D', draft, '-U', 'postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'];
    const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-sync'];
    await run(join(programs, 'bin', 'initdb'), [...args, ...locale], { ...user, cwd: '/', timeout: 60_000 });
    renameSync(draft, data);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

/**
 * Postgres refuses to start while the process named in postmaster.pid seems to be there. Two that are not: a zombie that
 * nobody waits for (a container without an init), and somebody else who has the id by now (after a crash of the machine).
 * We hold the lock of the home, so no Postgres of ours is running.
 */
function removeStalePidFile(folder: string): void {
  const file = join(folder, 'data', 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  if (processStart(pid) === undefined || !isPostgres(pid)) rmSync(file);
}

function isPostgres(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'postgres';
  } catch {
    // No /proc here: leave the judgement to Postgres.
    return true;
  }
}

function client(place: Place): pg.Client {
  return new pg.Client({
    host: '127.0.0.1',
    port: place.ports.postgres,
    user: 'postgres',
    password: place.secrets.postgres,
    database: 'postgres',
    connectionTimeoutMillis: 2_000,
  });
}

async function withClient<T>(place: Place, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const connection = client(place);
  // A server that goes away in the middle also emits; the query's own rejection is what counts.
  connection.on('error', () => undefined);
  try {
    await connection.connect();
    return await use(connection);
  } finally {
    await connection.end().catch(() => undefined);
  }
}

export const postgres: ServerDeclaration = {
  service: 'postgres',
  ports: ['postgres'],
  needs: [],
  async prepare(place) {
    const folder = await placePostgres(place.home, systemUser());
    await initialise(folder, installPrograms(folder), place.secrets.postgres);
    removeStalePidFile(folder);
  },
  spec(place) {
    const folder = postgresFolder(place.home);
    const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return {
      name: 'postgres',
      command: join(installPrograms(folder), 'bin', 'postgres'),
      args: ['-D', join(folder, 'data'), '-p', String(place.ports.postgres), ...settings],
      env: cleanEnvironment(),
      cwd: '/',
      user: systemUser(),
      logFile: join(place.home, 'logs', 'postgres.log'),
      ready: () => withClient(place, (connection) => connection.query('select 1')).then(Boolean, () => false),
      readyTimeoutMs: 60_000,
      // Fast shutdown: does not wait for clients to leave.
      stopSignal: 'SIGINT',
      endsByItself: true,
      stopTimeoutMs: 20_000,
    };
  },
  async afterStart(place) {
    await withClient(place, async (connection) => {
      const found = await connection.query("select 1 from pg_database where datname = 'sluice'");
      if (found.rowCount === 0) await connection.query('create database sluice');
    });
  },
};
