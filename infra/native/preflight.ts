/** What must be true before anything is started; each failure is one message with a way out. */
import { mkdirSync, statfsSync } from 'node:fs';
import { StackError } from './error.ts';
import type { Layout } from './layout.ts';
import { isRunning } from './lock.ts';
import { poll, portIsFree } from './probe.ts';
import { readRecord } from './record.ts';
import type { ServerDeclaration } from './service.ts';

const GIB = 1024 ** 3;
const MIN_FREE_BYTES = 2 * GIB;
/** The reaper gives processes five seconds to end politely. */
const REAPER_TIMEOUT_MS = 15_000;

/** Throws DISK_FULL below the least free space, 2 GiB. */
export function checkDisk(home: string, minFreeBytes = MIN_FREE_BYTES): void {
  mkdirSync(home, { recursive: true });
  const { bavail, bsize } = statfsSync(home);
  if (bavail * bsize >= minFreeBytes) return;
  const free = ((bavail * bsize) / GIB).toFixed(1);
  throw new StackError(
    'DISK_FULL',
    `Only ${free} GiB are free on the disk of ${home}; the stack needs 2 GiB.`,
    'Free some space, or keep the data elsewhere: SLUICE_HOME=/other/disk/sluice npm start',
  );
}

/** Throws PORT_TAKEN naming each server whose port somebody else has. */
export async function checkPorts(layout: Layout, servers: readonly ServerDeclaration[]): Promise<void> {
  const wanted = servers.flatMap((server) => server.ports.map((name) => ({ name, port: layout.ports[name] })));
  const free = await Promise.all(wanted.map(({ port }) => portIsFree(port)));
  const taken = wanted.filter((_, index) => free[index] !== true);
  if (taken.length === 0) return;
  const list = taken.map(({ name, port }) => `${port} (${name})`).join(', ');
  throw new StackError(
    'PORT_TAKEN',
    `Taken by another process: port ${list}.`,
    `See who has it: ss -ltnp (Linux) or lsof -iTCP -sTCP:LISTEN (macOS). Or take other ports:\nSLUICE_PORT_BASE=28000 npm start`,
  );
}

/** After a launcher that was killed: waits for its reaper to finish, then ends what even the reaper left (when both were killed). */
export async function endLeftovers(home: string): Promise<void> {
  const record = readRecord(home);
  if (record === undefined) return;
  const { reaper } = record;
  if (reaper !== null) await poll(() => !isRunning(reaper), { timeoutMs: REAPER_TIMEOUT_MS });
  for (const { pid, started } of record.services) {
    if (pid === null || started === null || !isRunning({ pid, started })) continue;
    process.kill(-pid, 'SIGKILL');
    await poll(() => !isRunning({ pid, started }), { timeoutMs: 5_000, everyMs: 20 });
  }
}
