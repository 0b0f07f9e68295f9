/** What a Redis says, or does not say, that cannot take a write just now: all of it is tried again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisSink } from '../../../connectors/redis/sink.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import { proxyOf } from '../../support/proxy.ts';
import { startRedis, type TestRedis, until } from './server.ts';

const AT = { topic: 'engagement.leaderboards', partition: 0, generation: 1 };

function newSink(url: string, commandTimeoutMs?: number) {
  const options = { leaderboards: ENGAGEMENT_LEADERBOARDS, map: mapLeaderboardRecord, partitions: 1 };
  return redisSink({
    name: 'redis',
    redis: { url, ...(commandTimeoutMs !== undefined && { commandTimeoutMs }) },
    ...options,
  });
}

/** The error of a write by a script, as `code action`. */
async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof SluiceError ? `${error.code} ${error.action}` : `${error}`;
}

describe('a redis that is busy', { timeout: 60_000 }, () => {
  const servers: TestRedis[] = [];
  let redis: TestRedis;
  let primary: TestRedis;
  beforeAll(async () => {
    servers.push(await startRedis(16_550), await startRedis(16_560, { 'repl-diskless-sync': 'no' }));
    [redis, primary] = servers as [TestRedis, TestRedis];
  }, 60_000);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });

  it('as a replica and while it loads says READONLY and LOADING, and takes writes again afterwards', async () => {
    const sink = newSink(redis.url);
    await sink.connect();
    await primary.admin.eval("for i = 1, 3000 do redis.call('SET', 'key:' .. i, string.rep('x', 100)) end", 0);
    // Each key takes a millisecond to load, and the server looks at its clients after every one.
    await redis.admin.config('SET', 'key-load-delay', '1000');
    await redis.admin.config('SET', 'loading-process-events-interval-bytes', '1024');
    await redis.admin.replicaof('127.0.0.1', primary.port);
    expect(await refusal(sink.position(AT))).toBe('REDIS_READONLY retry');
    await until('it loads', async () => (await refusal(sink.position(AT))) === 'REDIS_LOADING retry');
    await redis.admin.config('SET', 'key-load-delay', '0');
    await until('it has loaded', async () => (await refusal(sink.position(AT))) === 'REDIS_READONLY retry');
    await redis.admin.replicaof('NO', 'ONE');
    expect(await sink.position(AT)).toEqual({ kind: 'rebuild' });
    await sink.close();
  });

  it('that takes no more clients is tried again', async () => {
    await redis.admin.config('SET', 'maxclients', '1');
    const sink = newSink(redis.url);
    // Whether the refusal is read before the connection ends is up to the client.
    expect(await refusal(sink.connect())).toMatch(/^REDIS_(MAXCLIENTS|UNREACHABLE) retry$/);
    await redis.admin.config('SET', 'maxclients', '100');
    await sink.connect();
    await sink.close();
  });

  it('or that hangs is given up after the deadline of a call, and answers again when it can', async () => {
    const proxy = await proxyOf(redis.url);
    const sink = newSink(proxy.through(redis.url), 400);
    try {
      await sink.connect();
      proxy.delay(20);
      expect(await sink.position(AT)).toEqual({ kind: 'rebuild' });
      proxy.stall();
      expect(await refusal(sink.position(AT))).toBe('REDIS_UNREACHABLE retry');
      proxy.pass();
      await until('it answers', async () => (await sink.position(AT)).kind === 'rebuild');
    } finally {
      await sink.close();
      await proxy.close();
    }
  });
});
