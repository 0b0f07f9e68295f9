import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { processStart } from '../../../infra/native/lock.ts';
import { poll } from '../../../infra/native/probe.ts';
import { type ProcessSpec, type ProcessState, SupervisedProcess } from '../../../infra/native/process.ts';
import { type Reaper, startReaper } from '../../../infra/native/reaper.ts';

let folder: string;
let reaper: Reaper;
let states: ProcessState[];
let started: SupervisedProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-process-'));
  reaper = startReaper(join(folder, 'lock'));
  states = [];
  started = [];
});
afterEach(async () => {
  await Promise.all(started.map((process) => process.stop()));
  await reaper.close();
  rmSync(folder, { recursive: true });
});

function shell(script: string, spec: Partial<ProcessSpec> = {}): SupervisedProcess {
  const supervised = new SupervisedProcess(
    {
      name: 'test',
      command: '/bin/sh',
      args: ['-c', script],
      logFile: join(folder, 'test.log'),
      ready: async () => true,
      readyTimeoutMs: 10_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 10_000,
      ...spec,
    },
    reaper,
    ({ state }) => states.push(state),
  );
  started.push(supervised);
  return supervised;
}

const forever = 'exec sleep 600';
const until = (probe: () => boolean) => poll(probe, { timeoutMs: 10_000, everyMs: 5 });

it('goes through its states in order', async () => {
  const supervised = shell(forever);
  await supervised.start();
  await supervised.stop();
  expect(states).toEqual(['starting', 'up', 'stopping', 'stopped']);
  expect(supervised.status.pid).toBeNull();
});

it('starts a process that was killed again, with another id, and counts it', async () => {
  const supervised = shell(forever);
  await supervised.start();
  const first = supervised.status.pid;
  await supervised.kill('SIGKILL');
  expect(supervised.status).toMatchObject({ state: 'backoff', detail: 'ended by SIGKILL' });
  await supervised.untilUp();
  expect(supervised.status.restarts).toBe(1);
  expect(supervised.status.pid).not.toBe(first);
});

it('gives up a process that never comes up, with the end of its log', async () => {
  const supervised = shell('echo "the port is taken"; exit 3', { ready: async () => false });
  await expect(supervised.start()).rejects.toMatchObject({
    code: 'SERVICE_FAILED',
    message: expect.stringMatching(/exit code 3[\s\S]*the port is taken/),
  });
  expect(supervised.status).toMatchObject({ state: 'failed', restarts: 3 });
});

it('gives up a program that is not there', async () => {
  const supervised = shell('', { command: join(folder, 'missing'), ready: async () => false });
  await expect(supervised.start()).rejects.toMatchObject({ message: expect.stringContaining('ENOENT') });
});

it('takes a dead process for dead even when somebody else answers for it', async () => {
  const supervised = shell('exit 1', { ready: () => until(() => supervised.status.pid === null) });
  await expect(supervised.start()).rejects.toMatchObject({ code: 'SERVICE_FAILED' });
});

it('kills a process that does not end politely, and what it has started', async () => {
  const script = `trap '' TERM; sleep 600 & echo $! > ${join(folder, 'child')}; touch ${join(folder, 'trapped')}; wait`;
  const supervised = shell(script, {
    stopTimeoutMs: 50,
    ready: async () => statSync(join(folder, 'trapped'), { throwIfNoEntry: false }) !== undefined,
  });
  await supervised.start();
  const child = Number(readFileSync(join(folder, 'child'), 'utf8'));
  await supervised.stop();
  expect(supervised.status.detail).toBe('ended by SIGKILL');
  expect(await until(() => processStart(child) === undefined)).toBe(true);
});

it('discards a process without asking it, unless it has to end by itself', async () => {
  const details = [];
  for (const endsByItself of [false, true]) {
    const supervised = shell(forever, { endsByItself });
    await supervised.start();
    await supervised.discard();
    details.push(supervised.status);
  }
  expect(details).toMatchObject([
    { state: 'stopped', detail: 'ended by SIGKILL' },
    { state: 'stopped', detail: 'ended by SIGTERM' },
  ]);
});

it('stops a process that is paused', async () => {
  const supervised = shell(forever);
  await supervised.start();
  await supervised.kill('SIGSTOP');
  await supervised.stop();
  expect(supervised.status).toMatchObject({ state: 'stopped', detail: 'ended by SIGTERM' });
});

it('does not start again what is stopped while it waits to be started again', async () => {
  const supervised = shell(forever);
  await supervised.start();
  await supervised.kill('SIGKILL');
  await supervised.stop();
  expect(supervised.status.state).toBe('stopped');
  await supervised.start();
  expect(supervised.status.state).toBe('up');
});

it('puts a log that has grown too large aside', async () => {
  const log = join(folder, 'test.log');
  writeFileSync(log, Buffer.alloc(33 * 1024 * 1024));
  await shell(`echo fresh; ${forever}`, {
    ready: async () => readFileSync(log, 'utf8') === 'fresh\n',
  }).start();
  expect(statSync(`${log}.1`).size).toBe(33 * 1024 * 1024);
});
