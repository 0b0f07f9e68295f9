import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isRunning, processStart, takeLock } from '../../../infra/native/lock.ts';

let folder: string;
let lock: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-lock-'));
  lock = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('refuses a second holder, names the first, and says how to go on', async () => {
  const release = await takeLock(lock, 'A stack');
  await expect(takeLock(lock, 'A stack')).rejects.toMatchObject({
    code: 'ALREADY_RUNNING',
    message: `A stack is already running (process ${process.pid}).`,
    wayOut: expect.stringContaining('npm run stack -- down'),
  });
  release();
});

it('leaves nothing behind when it is given back', async () => {
  const release = await takeLock(lock, 'A stack');
  release();
  expect(readdirSync(folder)).toEqual([]);
});

it('takes over from a holder that is gone', async () => {
  // No system gives this id to a process.
  writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, started: '1' }));
  const release = await takeLock(lock, 'A stack');
  expect(existsSync(lock)).toBe(true);
  release();
});

it('takes over when the holder’s id belongs to a later process', async () => {
  writeFileSync(lock, JSON.stringify({ pid: process.pid, started: 'long ago' }));
  const release = await takeLock(lock, 'A stack');
  release();
  expect(existsSync(lock)).toBe(false);
});

it('takes over a lock that a crash left half written', async () => {
  writeFileSync(lock, '{"pid":');
  const release = await takeLock(lock, 'A stack');
  release();
});

it('lets exactly one of many takers in when the holder is gone', async () => {
  writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, started: '1' }));
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => takeLock(lock, 'A stack')));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

it('does not give back a lock that somebody else has taken', async () => {
  const release = await takeLock(lock, 'A stack');
  writeFileSync(lock, JSON.stringify({ pid: 1, started: 'x' }));
  release();
  expect(existsSync(lock)).toBe(true);
});

it('knows a process by its id and its start', () => {
  const started = processStart(process.pid) ?? '';
  expect(started).not.toBe('');
  expect(isRunning({ pid: process.pid, started })).toBe(true);
  expect(isRunning({ pid: process.pid, started: `${started}0` })).toBe(false);
  expect(processStart(2 ** 30)).toBeUndefined();
});
