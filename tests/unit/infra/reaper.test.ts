import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { processStart } from '../../../infra/native/lock.ts';
import { poll } from '../../../infra/native/probe.ts';

const NATIVE = resolve(import.meta.dirname, '../../../infra/native');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-reaper-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A launcher with one child that ends politely, one that does not, one paused; prints their ids and its reaper's. */
const LAUNCHER = `
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { takeLock } from ${JSON.stringify(join(NATIVE, 'lock.ts'))};
import { startReaper } from ${JSON.stringify(join(NATIVE, 'reaper.ts'))};
const folder = process.argv[2];
await takeLock(folder + '/lock', 'it');
const reaper = startReaper(folder + '/lock', 300);
const child = (script) => {
  const started = spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' });
  reaper.watch(started.pid);
  return started.pid;
};
const ended = child('exit 0');
reaper.forget(ended);
const stubborn = child("trap '' TERM; touch " + folder + '/trapped; while :; do sleep 1; done');
const paused = child('kill -STOP $$; sleep 600');
while (!existsSync(folder + '/trapped')) await new Promise((done) => setTimeout(done, 5));
writeFileSync(folder + '/pids', JSON.stringify([child('exec sleep 600'), stubborn, paused, reaper.pid]));
setInterval(() => {}, 1000);
`;

async function launch(): Promise<{ launcher: ChildProcess; pids: readonly number[] }> {
  const script = join(folder, 'launcher.mjs');
  writeFileSync(script, LAUNCHER);
  const launcher = spawn(process.execPath, [script, folder], { stdio: 'inherit' });
  const file = join(folder, 'pids');
  expect(await poll(() => existsSync(file) && readFileSync(file, 'utf8').endsWith(']'), { timeoutMs: 20_000 })).toBe(
    true,
  );
  return { launcher, pids: JSON.parse(readFileSync(file, 'utf8')) };
}

const allGone = (pids: readonly number[]) =>
  poll(() => pids.every((pid) => processStart(pid) === undefined), { timeoutMs: 20_000, everyMs: 20 });

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'ends every child and takes the lock away after %s of the launcher',
  async (signal) => {
    const { launcher, pids } = await launch();
    expect(pids.map((pid) => processStart(pid) !== undefined)).toEqual([true, true, true, true]);
    const exited = once(launcher, 'exit');
    launcher.kill(signal);
    await exited;
    expect(await allGone(pids)).toBe(true);
    expect(existsSync(join(folder, 'lock'))).toBe(false);
  },
);

it('leaves the lock of a launcher that has taken over', async () => {
  const { launcher, pids } = await launch();
  const exited = once(launcher, 'exit');
  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: process.pid, started: 'x' }));
  launcher.kill('SIGKILL');
  await exited;
  expect(await allGone(pids)).toBe(true);
  expect(existsSync(join(folder, 'lock'))).toBe(true);
});
