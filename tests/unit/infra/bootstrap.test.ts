import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { poll } from '../../../infra/native/probe.ts';

const BOOTSTRAP = resolve(import.meta.dirname, '../../../scripts/bootstrap.mjs');
let clone: string;

/** What npm would have installed: its own record, and Node. */
const install = `
  const { mkdirSync, writeFileSync, symlinkSync, appendFileSync, readFileSync } = require('node:fs');
  appendFileSync('runs', process.argv.slice(2).join(' ') + '\\n');
  mkdirSync('node_modules/.bin', { recursive: true });
  symlinkSync(process.execPath, 'node_modules/.bin/node');
  writeFileSync('node_modules/.package-lock.json', readFileSync('package-lock.json'));
`;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'sluice-bootstrap-'));
  mkdirSync(join(clone, 'scripts'));
  cpSync(BOOTSTRAP, join(clone, 'scripts', 'bootstrap.mjs'));
  writeFileSync(
    join(clone, 'package-lock.json'),
    JSON.stringify({
      packages: {
        '': {},
        'node_modules/pg': { version: '1.0.0' },
        'node_modules/mac': { version: '1.0.0', optional: true },
      },
    }),
  );
  writeFileSync(join(clone, 'npm.js'), install);
});
afterEach(() => rmSync(clone, { recursive: true }));

const script = (source: string) => writeFileSync(join(clone, 'scripts', 'target.ts'), source);

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

function bootstrap(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const child = spawn(process.execPath, [join(clone, 'scripts', 'bootstrap.mjs'), ...args], {
    env: { PATH: process.env.PATH, npm_execpath: join(clone, 'npm.js'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr })) };
}
const installs = () => readFileSync(join(clone, 'runs'), 'utf8').trim().split('\n');

describe('bootstrap', () => {
  it('installs the packages when they are missing, without install scripts, and keeps the output clean', async () => {
    script('console.log("hello " + process.argv[2])');
    const { code, stdout, stderr } = await bootstrap(['scripts/target.ts', 'there']).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'hello there\n' });
    expect(stderr).toContain('Installing the npm packages');
    expect(installs()).toEqual([expect.stringContaining('--ignore-scripts')]);
  });

  it('installs them once, though several start at the same time', async () => {
    script('');
    const runs = await Promise.all([1, 2, 3].map(() => bootstrap(['scripts/target.ts']).ended));
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(installs()).toHaveLength(1);
    expect(existsSync(join(clone, '.sluice', 'setup.lock'))).toBe(false);
  });

  it('installs them again when the lockfile asks for another version, not for another platform’s package', async () => {
    script('');
    await bootstrap(['scripts/target.ts']).ended;
    const record = join(clone, 'node_modules', '.package-lock.json');
    writeFileSync(record, JSON.stringify({ packages: { 'node_modules/pg': { version: '1.0.0' } } }));
    await bootstrap(['scripts/target.ts']).ended;
    expect(installs()).toHaveLength(1);
    writeFileSync(record, JSON.stringify({ packages: { 'node_modules/pg': { version: '0.9.0' } } }));
    rmSync(join(clone, 'node_modules', '.bin', 'node'));
    await bootstrap(['scripts/target.ts']).ended;
    expect(installs()).toHaveLength(2);
  });

  it('takes over the lock of a setup that was killed', async () => {
    script('');
    mkdirSync(join(clone, '.sluice', 'setup.lock'), { recursive: true });
    writeFileSync(join(clone, '.sluice', 'setup.lock', 'pid'), String(2 ** 30));
    expect((await bootstrap(['scripts/target.ts']).ended).code).toBe(0);
  });

  it('says when npm fails', async () => {
    script('');
    writeFileSync(join(clone, 'npm.js'), 'process.exit(7)');
    const { code, stderr } = await bootstrap(['scripts/target.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('npm install failed (exit code 7).\n  → ');
  });

  it('ends with the exit code of the target', async () => {
    script('process.exit(5)');
    expect((await bootstrap(['scripts/target.ts']).ended).code).toBe(5);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('passes %s on', async (signal) => {
    script(`
      process.on('${signal}', () => { console.log('got ${signal}'); process.exit(9); });
      setInterval(() => {}, 1000);
      console.log('waiting');
    `);
    const { child, ended } = bootstrap(['scripts/target.ts']);
    let seen = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
    });
    expect(await poll(() => seen.includes('waiting'), { timeoutMs: 20_000, everyMs: 10 })).toBe(true);
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 9, stdout: `waiting\ngot ${signal}\n` });
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('ends its target when npm’s shell is gone by %s', async (signal) => {
    script(`
      const { writeFileSync } = require('node:fs');
      process.on('SIGTERM', () => { writeFileSync('ended', ''); process.exit(); });
      setInterval(() => {}, 1000);
      writeFileSync('waiting', '');
    `);
    const line = `"${process.execPath}" "${join(clone, 'scripts', 'bootstrap.mjs')}" scripts/target.ts; true`;
    const env = { PATH: process.env.PATH, npm_execpath: join(clone, 'npm.js'), npm_lifecycle_event: 'start' };
    const shell = spawn('/bin/sh', ['-c', line], { cwd: clone, env, stdio: 'ignore' });
    const exists = (name: string) => poll(() => existsSync(join(clone, name)), { timeoutMs: 20_000, everyMs: 10 });
    expect(await exists('waiting')).toBe(true);
    shell.kill(signal);
    expect(await exists('ended')).toBe(true);
  });

  it('gives scripts the running stack’s environment, below what is set already', async () => {
    script('console.log(process.env.SLUICE_A, process.env.SLUICE_B)');
    mkdirSync(join(clone, '.sluice'), { recursive: true });
    writeFileSync(join(clone, '.sluice', 'env'), 'SLUICE_A=from-stack\nSLUICE_B=from-stack\n');
    const { stdout } = await bootstrap(['scripts/target.ts'], { SLUICE_B: 'given' }).ended;
    expect(stdout).toBe('from-stack given\n');
  });

  it('keeps compiled code between runs, where it is told to or beside the packages', async () => {
    script('');
    const given = join(clone, 'elsewhere');
    await bootstrap(['scripts/target.ts'], { NODE_COMPILE_CACHE: given }).ended;
    expect(readdirSync(given)).toHaveLength(1);
    expect(existsSync(join(clone, 'node_modules', '.cache'))).toBe(false);
    await bootstrap(['scripts/target.ts']).ended;
    expect(readdirSync(join(clone, 'node_modules', '.cache', 'node'))).toHaveLength(1);
  });

  it('runs the programs of packages, and gives those no stack’s environment', async () => {
    mkdirSync(join(clone, 'node_modules', '.bin'), { recursive: true });
    mkdirSync(join(clone, '.sluice'), { recursive: true });
    symlinkSync(process.execPath, join(clone, 'node_modules', '.bin', 'node'));
    cpSync(join(clone, 'package-lock.json'), join(clone, 'node_modules', '.package-lock.json'));
    writeFileSync(join(clone, '.sluice', 'env'), 'SLUICE_A=from-stack\n');
    const tool = '#!/usr/bin/env node\nconsole.log(process.argv[2], process.env.SLUICE_A)';
    writeFileSync(join(clone, 'node_modules', '.bin', 'tool'), tool, { mode: 0o755 });
    expect((await bootstrap(['tool', 'run']).ended).stdout).toBe('run undefined\n');
  });
});
