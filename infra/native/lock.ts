/** One launcher per home: a lock file that names its holder and that a crash does not leave in the way. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { StackError } from './error.ts';
import { poll } from './probe.ts';

export interface LockHolder {
  readonly pid: number;
  /** Start time of the process, so that a reused pid is not taken for the holder. */
  readonly started: string;
}

/** When the process started, in whatever unit the system has; undefined when there is no such process. */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the fields after it are plain. The 22nd field is the start time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    if (process.platform === 'linux') return undefined;
  }
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

export function isRunning(holder: LockHolder): boolean {
  return processStart(holder.pid) === holder.started;
}

/** Who holds the lock, dead or alive; undefined when nobody does. */
export function lockHolder(path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockHolder;
  } catch {
    return undefined;
  }
}

/**
 * Takes the lock, also over from a dead holder. Throws ALREADY_RUNNING while the holder lives.
 * @returns a function that gives it back
 */
export async function takeLock(path: string, what: string): Promise<() => void> {
  const mine: LockHolder = { pid: process.pid, started: processStart(process.pid) ?? '' };
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, JSON.stringify(mine));
  try {
    let holder: LockHolder | undefined;
    const taken = await poll(
      () => {
        if (tryLink(draft, path)) return true;
        holder = lockHolder(path);
        if (holder !== undefined && isRunning(holder)) return true;
        holder = undefined;
        takeAway(path);
        return false;
      },
      { timeoutMs: 5_000, everyMs: 20 },
    );
    if (!taken || holder !== undefined) {
      throw new StackError(
        'ALREADY_RUNNING',
        `${what} is already running${holder === undefined ? '' : ` (process ${holder.pid})`}.`,
        `Stop it first (Ctrl-C there, or npm run stack -- down), or run another one beside it:\nSLUICE_HOME=/some/folder SLUICE_PORT_BASE=28000 npm start`,
      );
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return () => {
    if (lockHolder(path)?.pid === process.pid) rmSync(path, { force: true });
  };
}

function tryLink(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock of a dead holder. Two takers may see the same dead holder: a fresh lock taken away by mistake is put back. */
function takeAway(path: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const removed = lockHolder(aside);
  if (removed !== undefined && isRunning(removed)) tryLink(aside, path);
  rmSync(aside, { force: true });
}
