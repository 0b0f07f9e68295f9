/** What a launcher writes down for others to read: its services, their processes, and its reaper. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Service } from './layout.ts';
import { type LockHolder, processStart } from './lock.ts';
import type { ProcessStatus } from './process.ts';

export interface ServiceRecord extends ProcessStatus {
  readonly service: Service;
  readonly port: number;
  /** Start time of the process, to tell it from a later one with the same id. */
  readonly started: string | null;
}

export interface StackRecord {
  readonly launcher: LockHolder;
  readonly reaper: LockHolder | null;
  /** True once everything was up for the first time. */
  readonly ready: boolean;
  readonly services: readonly ServiceRecord[];
}

const fileOf = (home: string) => join(home, 'status.json');

export function readRecord(home: string): StackRecord | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(home), 'utf8')) as StackRecord;
  } catch {
    return undefined;
  }
}

export function writeRecord(home: string, record: StackRecord): void {
  const draft = `${fileOf(home)}.new`;
  writeFileSync(draft, JSON.stringify(record));
  renameSync(draft, fileOf(home));
}

/** Writes the environment of the stack's clients where scripts look for it (see scripts/bootstrap.mjs). */
export function writeEnvironment(home: string, env: Readonly<Record<string, string>>): void {
  const path = join(home, 'env');
  const lines = Object.entries(env).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(`${path}.new`, lines.join(''), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function holderOf(pid: number | null): LockHolder | null {
  const started = pid === null ? undefined : processStart(pid);
  return pid === null || started === undefined ? null : { pid, started };
}
