import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processStart } from '../../../infra/native/lock.ts';
import { poll, portIsFree } from '../../../infra/native/probe.ts';
import { readRecord } from '../../../infra/native/record.ts';
import { removeStack, runningStack } from '../../../infra/native/stack.ts';
import { freePortBase } from '../../support/ports.ts';

const SCRIPT = resolve(import.meta.dirname, '../../../scripts/stack.ts');
let folder: string;
let home: string;
let env: NodeJS.ProcessEnv;
let portBase: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-crash-'));
  home = join(folder, 'home');
  portBase = await freePortBase();
  env = { ...process.env, SLUICE_HOME: home, SLUICE_PORT_BASE: String(portBase) };
});
afterEach(async () => {
  await stack('down');
  removeStack(home);
  rmSync(folder, { recursive: true });
});

async function stack(...args: readonly string[]): Promise<{ code: number; output: string }> {
  const child: ChildProcess = spawn(process.execPath, [SCRIPT, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = await once(child, 'close');
  return { code: code as number, output };
}
const up = (services = 'redis') => stack('up', '--services', services);
const BOTH = 'postgres,redis';

function processes(): readonly number[] {
  const record = readRecord(home);
  const pids = record?.services.flatMap(({ pid }) => (pid === null ? [] : [pid])) ?? [];
  return [record!.launcher.pid, record!.reaper!.pid, ...pids];
}
const gone = (pids: readonly number[]) =>
  poll(() => pids.every((pid) => processStart(pid) === undefined), { timeoutMs: 20_000 });

describe('npm run stack', () => {
  it('brings the servers up in the background, says so, and stops them', async () => {
    const started = await up(BOTH);
    expect(started).toMatchObject({ code: 0, output: expect.stringMatching(/postgres +up +127\.0\.0\.1:\d+/) });
    const status = await stack('status', '--json');
    expect(status.code).toBe(0);
    expect(JSON.parse(status.output)).toMatchObject({ running: true, healthy: true, ready: true });
    expect((await stack('logs', 'redis')).output).toContain('Ready to accept connections');
    const pids = processes();
    expect((await stack('down')).output).toBe('stopped\n');
    expect(await gone(pids)).toBe(true);
    expect(await stack('status')).toEqual({ code: 1, output: `not running (${home})\n` });
  });

  it('leaves no process, port or lock when the launcher is killed, and starts again', async () => {
    await up(BOTH);
    const pids = processes();
    expect(pids).toHaveLength(4);
    process.kill(pids[0]!, 'SIGKILL');
    expect(await gone(pids)).toBe(true);
    expect(existsSync(join(home, 'stack.lock'))).toBe(false);
    expect(await Promise.all([portIsFree(portBase + 4), portIsFree(portBase + 5)])).toEqual([true, true]);
    expect((await up(BOTH)).code).toBe(0);
  });

  it('cleans up what is left when launcher and reaper are killed together, and starts', async () => {
    await up(BOTH);
    const [launcher, reaper, ...servers] = processes();
    process.kill(reaper!, 'SIGKILL');
    process.kill(launcher!, 'SIGKILL');
    expect(await gone([launcher!, reaper!])).toBe(true);
    expect(servers.map((pid) => processStart(pid) !== undefined)).toEqual([true, true]);
    expect(await up(BOTH)).toMatchObject({ code: 0, output: expect.stringMatching(/postgres +up/) });
    expect(servers.map((pid) => processStart(pid))).toEqual([undefined, undefined]);
  });

  it('starts a second time right after the launcher was killed', async () => {
    await up();
    process.kill(runningStack(home)!.launcher, 'SIGKILL');
    expect(await up()).toMatchObject({ code: 0, output: expect.stringMatching(/redis +up/) });
  });

  it('empties the home on reset', async () => {
    await up();
    expect((await stack('reset')).code).toBe(0);
    expect(existsSync(join(home, 'secrets.json'))).toBe(false);
    expect((await up()).code).toBe(0);
  });

  it('prints the environment for a shell', async () => {
    await up();
    const { output } = await stack('env');
    expect(output).toContain(`export SLUICE_REDIS_URL='redis://127.0.0.1:${portBase + 5}'`);
    expect(readFileSync(join(home, 'env'), 'utf8')).toContain(`SLUICE_REDIS_URL=redis://127.0.0.1:${portBase + 5}\n`);
  });
});
