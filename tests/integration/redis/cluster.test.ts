import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baseKey, scriptKeys } from '../../../connectors/redis/keys.ts';
import { redisSink } from '../../../connectors/redis/sink.ts';
import type { Sink } from '../../../engine/sink.ts';
import { WINDOWS } from '../../../pipelines/engagement/leaderboard/windows.ts';
import { leaderboardReader } from '../../../pipelines/engagement/leaderboard-reader.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { entry, gone, stamp, TestLog } from './records.ts';
import { startRedis, type TestRedis, until } from './server.ts';

/** The nodes talk on a port that is higher by 10,000: neither may be one that other tests or the system hand out. */
const FIRST_PORT = 14_520;
const SLOTS = 16_384;

describe('redis cluster', { timeout: 60_000 }, () => {
  const nodes: TestRedis[] = [];
  let sink: Sink<LeaderboardRecord> | undefined;

  beforeAll(async () => {
    const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' };
    for (let n = 0; n < 3; n += 1) nodes.push(await startRedis(FIRST_PORT + 10 * n, settings));
    const share = Math.ceil(SLOTS / nodes.length);
    for (const [n, { admin }] of nodes.entries()) {
      const slots = Array.from({ length: Math.min(share, SLOTS - n * share) }, (_, slot) => n * share + slot);
      // Two nodes that start with the same epoch would have to settle it between them.
      await admin.cluster('SET-CONFIG-EPOCH', n + 1);
      await admin.cluster('ADDSLOTS', ...slots);
      if (n > 0) await admin.cluster('MEET', '127.0.0.1', nodes[0]!.port);
    }
    await until('the cluster is up', async () => {
      const states = await Promise.all(nodes.map(({ admin }) => admin.cluster('INFO')));
      return states.every((state) => state.includes('cluster_state:ok'));
    });
  }, 60_000);
  afterAll(async () => {
    await sink?.close();
    await Promise.all(nodes.map((node) => node.stop()));
  });

  it('keeps each leaderboard in one slot, and the leaderboards on several nodes', async () => {
    const slots = new Set<number>();
    for (const { name } of WINDOWS) {
      const board = `engagement:${name}`;
      const keys = [...scriptKeys(board), `${baseKey(board)}:content:x`, `${baseKey(board)}:rebuild:events`];
      const own = new Set(await Promise.all(keys.map((key) => nodes[0]!.admin.cluster('KEYSLOT', key))));
      expect(own.size).toBe(1);
      for (const slot of own) slots.add(slot);
    }
    expect(slots.size).toBe(WINDOWS.length);
  });

  it('writes, rebuilds and reads over all of its nodes', async () => {
    const url = nodes.map((node) => node.url).join(',');
    const options = { leaderboards: ENGAGEMENT_LEADERBOARDS, map: mapLeaderboardRecord, partitions: 2 };
    sink = redisSink({ name: 'redis', redis: { url }, ...options });
    await sink.connect();
    const logs = [new TestLog(0), new TestLog(1)];
    logs[0]!.batch(entry('a', 1), entry('b', 2), stamp(0, 1, 1n));
    for (const log of logs) {
      const at = { topic: 'engagement.leaderboards', partition: log.partition, generation: 1 };
      expect(await sink.position(at)).toEqual({ kind: 'rebuild' });
      await sink.rebuild!(log.compacted());
    }
    const next = logs[0]!.batch(gone('a'), entry('c', 5), stamp(0, 2, 2n));
    expect(await sink.write(next, { retry: false })).toBe('written');
    expect(await sink.write(logs[0]!.range(0, 3), { retry: true })).toBe('stale');
    expect(await sink.write(logs[1]!.batch(entry('d', 3), stamp(1, 2, 2n)), { retry: false })).toBe('written');
    // One node is enough to find the others.
    const reader = leaderboardReader({ url: nodes[1]!.url, cluster: true });
    try {
      await reader.connect();
      const top = await reader.top('1h', 'events', 10);
      expect(top.entries.map(({ contentId }) => contentId)).toEqual(['c', 'd', 'b']);
      expect(top.asOf).toMatchObject({ sourceLsn: 2n, complete: true });
      expect((await reader.top('10m', 'events', 10)).entries).toEqual([]);
    } finally {
      await reader.close();
    }
  });

  it('is not written by a client that was told of one node only, which says what to do', async () => {
    const options = { leaderboards: ENGAGEMENT_LEADERBOARDS, map: mapLeaderboardRecord, partitions: 2 };
    const alone = redisSink({ name: 'redis', redis: { url: nodes[0]!.url }, ...options });
    try {
      await alone.connect();
      const at = { topic: 'engagement.leaderboards', partition: 0, generation: 1 };
      await expect(alone.position(at)).rejects.toMatchObject({
        code: 'REDIS_MOVED',
        action: 'retry',
        message: expect.stringContaining('SLUICE_REDIS_URL'),
      });
    } finally {
      await alone.close();
    }
  });

  it('finds the data again after it was lost on one node', async () => {
    const log = new TestLog(0);
    log.batch(entry('b', 2), stamp(0, 1, 1n), entry('c', 5), stamp(0, 2, 2n), stamp(0, 3, 3n), stamp(0, 4, 4n));
    for (const { admin } of nodes) {
      if ((await admin.exists('lb:{engagement:1h}:asof').catch(() => 0)) === 1) await admin.flushall();
    }
    expect(await sink!.write(log.batch(stamp(0, 5, 5n)), { retry: false })).toBe('lost');
    const at = { topic: 'engagement.leaderboards', partition: 0, generation: 1 };
    expect(await sink!.position(at)).toEqual({ kind: 'rebuild' });
  });
});
