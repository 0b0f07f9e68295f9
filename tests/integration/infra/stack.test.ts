import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processStart } from '../../../infra/native/lock.ts';
import { outsideFolder } from '../../../infra/native/postgres-files.ts';
import { portIsFree } from '../../../infra/native/probe.ts';
import { readRecord } from '../../../infra/native/record.ts';
import { attachStack, removeStack, type Stack, type StackOptions, startStack } from '../../../infra/native/stack.ts';
import { freePortBase } from '../../support/ports.ts';

let folder: string;
let home: string;
let portBase: number;
const stacks: Stack[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-stack-'));
  home = join(folder, 'home');
  portBase = await freePortBase();
});
afterEach(async () => {
  for (const stack of stacks.splice(0)) await stack.stop();
  if (existsSync(home)) removeStack(home);
  rmSync(folder, { recursive: true });
});

async function start(services: StackOptions['services']): Promise<Stack> {
  const stack = await startStack({ home, portBase, services });
  stacks.push(stack);
  return stack;
}

async function onPostgres<T>(url: string | undefined, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function onRedis<T>(url: string | undefined, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url ?? '');
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

describe('a stack', () => {
  it('keeps its data over kill -9 of each server and over a restart, and leaves nothing when it is removed', async () => {
    const stack = await start(['postgres', 'redis']);
    const { SLUICE_POSTGRES_URL: postgres, SLUICE_REDIS_URL: redis } = stack.env;
    await onPostgres(postgres, (client) => client.query('create table kept as select 42 as answer'));
    await onRedis(redis, (client) => client.set('kept', '42'));
    const before = stack.pids();

    for (const service of ['postgres', 'redis'] as const) {
      await stack.kill(service, 'SIGKILL');
      await stack.untilUp(service);
      expect(stack.pids()[service]).not.toBe(before[service]);
    }
    await stack.restart('postgres');
    await stack.stop();
    const again = await start(['postgres', 'redis']);
    const rows = await onPostgres(again.env.SLUICE_POSTGRES_URL, (client) => client.query('select answer from kept'));
    expect(rows.rows).toEqual([{ answer: 42 }]);
    expect(await onRedis(again.env.SLUICE_REDIS_URL, (client) => client.get('kept'))).toBe('42');

    const pids = Object.values(again.pids()).filter((pid) => pid !== null);
    expect(pids).toHaveLength(2);
    await again.stop({ remove: true });
    expect(pids.filter((pid) => processStart(pid) !== undefined)).toEqual([]);
    expect(await Promise.all([portIsFree(portBase + 4), portIsFree(portBase + 5)])).toEqual([true, true]);
    expect([existsSync(home), existsSync(outsideFolder(home))]).toEqual([false, false]);
  });

  it('has a Postgres that decodes logically, keeps time in UTC, and asks for the password', async () => {
    const { env } = await start(['postgres']);
    const settings = await onPostgres(env.SLUICE_POSTGRES_URL, (client) =>
      client.query("select current_setting('wal_level') as wal, current_setting('TimeZone') as zone, version()"),
    );
    expect(settings.rows[0]).toMatchObject({
      wal: 'logical',
      zone: 'UTC',
      version: expect.stringMatching(/^PostgreSQL 18/),
    });
    const wrong = new URL(env.SLUICE_POSTGRES_URL ?? '');
    wrong.password = 'guessed';
    await expect(onPostgres(wrong.href, (client) => client.query('select 1'))).rejects.toMatchObject({ code: '28P01' });
  });

  it('has a Redis that writes down what it is told and forgets nothing for want of memory', async () => {
    const { env } = await start(['redis']);
    const settings = await onRedis(env.SLUICE_REDIS_URL, async (redis) => [
      ...((await redis.config('GET', 'appendonly')) as string[]),
      ...((await redis.config('GET', 'maxmemory-policy')) as string[]),
    ]);
    expect(settings).toEqual(['appendonly', 'yes', 'maxmemory-policy', 'noeviction']);
  });

  it('starts in a home that only its owner can reach', async () => {
    const locked = join(folder, 'locked');
    mkdirSync(locked, { mode: 0o700 });
    home = join(locked, 'home');
    const stack = await start(['postgres']);
    const folderOf = await onPostgres(stack.env.SLUICE_POSTGRES_URL, (client) => client.query('show data_directory'));
    const outside = process.getuid?.() === 0 ? outsideFolder(home) : home;
    expect(folderOf.rows[0].data_directory.startsWith(`${outside}/`)).toBe(true);
    await stack.stop({ remove: true });
    expect(existsSync(outside)).toBe(false);
  });

  it('takes what a home removed by hand has left outside for nobody’s', async () => {
    const locked = join(folder, 'locked');
    mkdirSync(locked, { mode: 0o700 });
    home = join(locked, 'home');
    await (await start(['postgres'])).stop();
    rmSync(home, { recursive: true });
    // The password of the new home is another one: old data would not let it in.
    const { env } = await start(['postgres']);
    const one = await onPostgres(env.SLUICE_POSTGRES_URL, (client) => client.query('select 1 as one'));
    expect(one.rows).toEqual([{ one: 1 }]);
  });

  it('says that one is running already, and is not disturbed', async () => {
    const stack = await start(['redis']);
    await expect(startStack({ home, portBase, services: ['redis'] })).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
    });
    expect(() => removeStack(home)).toThrow(expect.objectContaining({ code: 'ALREADY_RUNNING' }));
    expect(await onRedis(stack.env.SLUICE_REDIS_URL, (redis) => redis.ping())).toBe('PONG');
  });

  it('leaves nothing behind when a port is taken', async () => {
    await start(['redis']);
    const other = join(folder, 'other');
    await expect(startStack({ home: other, portBase, services: ['redis'] })).rejects.toMatchObject({
      code: 'PORT_TAKEN',
    });
    expect(existsSync(join(other, 'stack.lock'))).toBe(false);
    removeStack(other);
  });

  it('does not wait for the others when one cannot start, and says why', async () => {
    mkdirSync(home);
    // In the way of the folder that Redis keeps its data in.
    writeFileSync(join(home, 'redis'), 'not a folder');
    await expect(start(['postgres', 'redis'])).rejects.toMatchObject({ code: 'EEXIST' });
    expect(existsSync(join(home, 'stack.lock'))).toBe(false);
    const left = readRecord(home)?.services ?? [];
    expect(left.filter(({ pid }) => pid !== null)).toEqual([]);
    expect(await portIsFree(portBase + 4)).toBe(true);
  });

  it('returns without the servers that it was not to wait for, and says of one why it does not come up', async () => {
    mkdirSync(home);
    writeFileSync(join(home, 'redis'), 'not a folder');
    const stack = await startStack({ home, portBase, services: ['postgres', 'redis'], unawaited: ['redis'] });
    stacks.push(stack);
    await expect(stack.untilUp('redis')).rejects.toMatchObject({ code: 'EEXIST' });
    expect(
      await onPostgres(stack.env.SLUICE_POSTGRES_URL, async (client) => (await client.query('SELECT 1')).rowCount),
    ).toBe(1);
  });

  it('is interrupted while a server starts that it does not wait for', async () => {
    const interrupted = new AbortController();
    const { signal } = interrupted;
    const stack = await startStack({ home, portBase, services: ['redis', 'kafka'], unawaited: ['kafka'], signal });
    stacks.push(stack);
    const up = stack.untilUp('kafka');
    interrupted.abort();
    await expect(up).rejects.toThrow();
    await stack.stop();
    expect(existsSync(join(home, 'stack.lock'))).toBe(false);
  });

  it('ends cleanly when it is interrupted while it comes up', async () => {
    const interrupted = new AbortController();
    const pids: number[] = [];
    const starting = startStack({
      home,
      portBase,
      services: ['postgres', 'redis'],
      signal: interrupted.signal,
      onEvent: (event) => {
        if (event.kind === 'service' && event.status.pid !== null) pids.push(event.status.pid);
        if (event.kind === 'service' && event.status.state === 'up') interrupted.abort();
      },
    });
    await expect(starting).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(pids.length).toBeGreaterThan(0);
    expect(pids.filter((pid) => processStart(pid) !== undefined)).toEqual([]);
    expect(existsSync(join(home, 'stack.lock'))).toBe(false);
  });

  it('can be attached to, with signals to its servers', async () => {
    const stack = await start(['redis']);
    const attached = attachStack({ home, portBase });
    expect(attached.env).toEqual(stack.env);
    const before = attached.pids().redis;
    await attached.kill('redis', 'SIGKILL');
    await attached.untilUp('redis');
    expect(attached.pids().redis).not.toBe(before);
    expect(attached.pids().redis).toBe(stack.pids().redis);
  });
});
