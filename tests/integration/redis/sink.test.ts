import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { boardReader } from '../../../connectors/redis/reader.ts';
import { type RedisSinkOptions, redisSink } from '../../../connectors/redis/sink.ts';
import { memorySegments } from '../../../engine/lmdb-segments.ts';
import { segmentedStore } from '../../../engine/segmented-store.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import { LeaderboardState } from '../../../pipelines/engagement/leaderboard/leaderboard.ts';
import type { Contribution } from '../../../pipelines/engagement/leaderboard/record.ts';
import { storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';
import { type LeaderboardReader, leaderboardReader } from '../../../pipelines/engagement/leaderboard-reader.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { entry, gone, stamp, TestLog, WINDOW_END } from './records.ts';
import { startRedis, type TestRedis } from './server.ts';

type Engagement = Sink<LeaderboardRecord>;

describe('redis sink', { timeout: 60_000 }, () => {
  let server: TestRedis;
  let reader: LeaderboardReader;
  const sinks: Engagement[] = [];

  beforeAll(async () => {
    server = await startRedis(16_510);
    reader = leaderboardReader({ url: server.url });
    await reader.connect();
  }, 60_000);
  afterAll(async () => {
    await reader?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    await server.admin.flushall();
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });

  async function open(options: Partial<RedisSinkOptions<LeaderboardRecord>> = {}): Promise<Engagement> {
    const sink = redisSink({
      name: 'engagement.sink.redis',
      redis: { url: server.url },
      leaderboards: ENGAGEMENT_LEADERBOARDS,
      map: mapLeaderboardRecord,
      partitions: 2,
      ...options,
    });
    sinks.push(sink);
    await sink.connect();
    return sink;
  }

  const positionOf = (sink: Engagement, { partition, generation }: TestLog) =>
    sink.position({ topic: 'engagement.leaderboards', partition, generation });
  const write = (sink: Engagement, batch: SinkBatch<LeaderboardRecord>) => sink.write(batch, { retry: false });
  const ids = async (metric: 'events' | 'seconds' | 'avg_pct' = 'events', n = 100) =>
    (await reader.top('1h', metric, n)).entries.map(({ contentId }) => contentId);

  /** A sink that has both partitions, as the engine opens them on an empty Redis. */
  async function openBoth(logs: readonly TestLog[], options?: Partial<RedisSinkOptions<LeaderboardRecord>>) {
    const sink = await open(options);
    for (const log of logs) {
      expect(await positionOf(sink, log)).toEqual({ kind: 'rebuild' });
      await sink.rebuild!(log.compacted());
    }
    return sink;
  }

  const twoLogs = () => [new TestLog(0), new TestLog(1)] as const;

  it('shows entries with their details, ranks and as-of stamp', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    const a = entry('a', 3, { ranked_avg_pct: true, avg_pct_bp: 4_567, pct_samples: 12, pct_bp_sum: 54_804 });
    expect(await write(sink, logs[0].batch(a, stamp(0, 50, 7n)))).toBe('written');
    expect((await reader.top('1h', 'events', 5)).asOf?.complete).toBe(false);
    expect(await write(sink, logs[1].batch(entry('b', 5, { ranked_seconds: false }), stamp(1, 40, 9n)))).toBe(
      'written',
    );
    const top = await reader.top('1h', 'events', 5);
    expect(top.entries.map(({ rank, contentId, score }) => [rank, contentId, score])).toEqual([
      [1, 'b', 5],
      [2, 'a', 3],
    ]);
    expect(top.asOf).toEqual({
      streamTime: 40,
      windowStart: WINDOW_END - 3_600_000,
      windowEnd: WINDOW_END,
      sourceLsn: 7n,
      complete: true,
    });
    expect((await reader.top('1h', 'seconds', 5)).entries).toEqual([
      {
        rank: 1,
        contentId: 'a',
        slug: 'slug-a',
        title: 'Title a',
        contentType: 'video',
        score: 4.5,
        events: 3,
        plays: 1,
        finishes: 0,
        engagementSeconds: 4.5,
        avgEngagementPct: 45.67,
      },
    ]);
    expect((await reader.top('1h', 'avg_pct', 5)).entries[0]?.score).toBe(45.67);
    expect((await reader.top('1w', 'events', 5)).entries).toEqual([]);
  });

  it('takes off what a tombstone names, and a field that is null again', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 3, { avg_pct_bp: 10 }), entry('b', 2), stamp(0, 1, 1n)));
    await write(sink, logs[0].batch(gone('b'), entry('a', 3), entry('c', 1), gone('c'), stamp(0, 2, 2n)));
    expect(await ids()).toEqual(['a']);
    expect((await reader.top('1h', 'events', 1)).entries[0]?.avgEngagementPct).toBeNull();
    expect(await server.admin.keys('lb:{engagement:1h}:content:*')).toEqual(['lb:{engagement:1h}:content:a']);
  });

  it('breaks ties by content id, descending', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('b', 2), entry('d', 2), stamp(0, 1, 1n)));
    await write(sink, logs[1].batch(entry('a', 2), entry('c', 3), stamp(1, 1, 1n)));
    expect(await ids()).toEqual(['c', 'd', 'b', 'a']);
  });

  it('refills the hundredth place after a retraction', async () => {
    const log = new TestLog(0);
    const sink = await openBoth([log], { partitions: 1 });
    const state = new LeaderboardState(segmentedStore({ base: memorySegments(), codec: storedCodec }));
    const rows = Array.from({ length: 101 }, (_, n): Contribution => {
      const contentId = `c${String(n).padStart(3, '0')}`;
      const named = { contentId, slug: contentId, title: contentId, contentType: 'video' };
      return { ...named, eventType: 'play', eventTsMicros: WINDOW_END * 1_000, durationMs: null, pctBp: null };
    });
    const apply = (before: Contribution | null, after: Contribution | null) =>
      state.apply({ kind: 'update', lsn: 1n, commitTs: WINDOW_END, before, after });
    for (const row of rows) apply(null, row);
    await write(sink, log.batch(...state.publish({ partition: 0, nextOffset: 1n })));
    const before = await ids();
    expect(before).toHaveLength(100);
    expect(before.at(-1)).toBe('c001');
    apply(rows[50]!, null);
    await write(sink, log.batch(...state.publish({ partition: 0, nextOffset: 2n })));
    const after = await ids();
    expect(after).toEqual([...before.filter((id) => id !== 'c050'), 'c000']);
  });

  it('stops a batch behind the last stamp', async () => {
    const sink = await open();
    const log = new TestLog(0);
    const { records } = log.batch(entry('a', 1), stamp(0, 1, 1n), entry('b', 1), stamp(0, 2, 2n), entry('c', 1));
    expect(sink.boundary!(records)).toBe(4);
    expect(sink.boundary!(records.slice(2, 3))).toBe(0);
  });

  it('rebuilds itself after FLUSHALL, and shows it when every partition has come', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs, { maxMembersPerCall: 2 });
    await write(sink, logs[0].batch(entry('a', 1), entry('b', 2), entry('e', 9), stamp(0, 1, 1n)));
    await write(sink, logs[0].batch(gone('e'), entry('f', 7), stamp(0, 2, 1n)));
    await write(sink, logs[1].batch(entry('c', 3), entry('d', 4), stamp(1, 1, 1n)));
    const before = await reader.top('1h', 'events', 100);
    await server.admin.flushall();
    expect(await write(sink, logs[0].batch(entry('a', 5), stamp(0, 3, 2n)))).toBe('lost');
    expect(await positionOf(sink, logs[0])).toEqual({ kind: 'rebuild' });
    await sink.rebuild!(logs[0].compacted());
    // The first partition goes on while the other is missing: out of sight.
    expect(await write(sink, logs[0].batch(entry('a', 1), stamp(0, 2, 1n)))).toBe('written');
    expect(await reader.top('1h', 'events', 100)).toEqual({ entries: [], asOf: null });
    // A restart in between goes on where it was.
    const successor = await open({ maxMembersPerCall: 2 });
    expect(await positionOf(successor, logs[0])).toEqual({ kind: 'offset', offset: 11n });
    expect(await write(sink, logs[1].batch(stamp(1, 1, 1n)))).toBe('lost');
    expect(await positionOf(successor, logs[1])).toEqual({ kind: 'rebuild' });
    await successor.rebuild!(logs[1].compacted());
    expect(await reader.top('1h', 'events', 100)).toEqual(before);
    expect(await server.admin.keys('*rebuild*')).toEqual([]);
    expect(await write(successor, logs[0].batch(entry('a', 6), stamp(0, 4, 4n)))).toBe('written');
    expect(await ids()).toEqual(['f', 'a', 'd', 'c', 'b']);
  });

  it('replaces one partition in place while the others stay', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), entry('b', 2), stamp(0, 1, 1n)));
    await write(sink, logs[1].batch(entry('c', 3), stamp(1, 1, 1n)));
    // A fence too old to trust: what was deleted in the meantime may have left the topic.
    const late = await open({ maxFenceAgeMs: -1 });
    expect(await positionOf(late, logs[0])).toEqual({ kind: 'rebuild' });
    logs[0].batch(gone('a'));
    await late.rebuild!(logs[0].compacted());
    expect(await ids()).toEqual(['c', 'b']);
    expect(await server.admin.exists('lb:{engagement:1h}:content:a')).toBe(0);
  });

  it('shows the old generation until the new one has read every partition', async () => {
    const logs = twoLogs();
    const old = await openBoth(logs);
    await write(old, logs[0].batch(entry('a', 1), entry('wrong', 9), stamp(0, 1, 1n)));
    await write(old, logs[1].batch(entry('c', 3), stamp(1, 1, 1n)));
    logs[0].batch(gone('wrong'), entry('a', 2));
    for (const log of logs) log.generation = 2;
    const replay = await open();
    expect(await positionOf(replay, logs[0])).toEqual({ kind: 'rebuild' });
    await replay.rebuild!(logs[0].compacted());
    expect(await ids()).toEqual(['wrong', 'c', 'a']);
    expect(await positionOf(replay, logs[1])).toEqual({ kind: 'rebuild' });
    await replay.rebuild!(logs[1].compacted());
    expect(await ids()).toEqual(['c', 'a']);
    for (const log of logs) log.generation = 1;
    const older = await open();
    expect(await positionOf(older, logs[1])).toEqual({ kind: 'committed' });
    expect(await write(older, logs[1].batch(entry('c', 1), stamp(1, 2, 2n)))).toBe('stale');
    expect(await ids()).toEqual(['c', 'a']);
  });

  it('goes back to an older state after Redis lost its last writes', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    const saved = new Map<string, Buffer>();
    for (const key of await server.admin.keys('*')) saved.set(key, (await server.admin.dumpBuffer(key))!);
    await write(sink, logs[0].batch(entry('b', 2), stamp(0, 2, 2n)));
    // What a failover to a replica that was behind looks like.
    await server.admin.flushall();
    for (const [key, value] of saved) await server.admin.restore(key, 0, value);
    expect(await write(sink, logs[0].batch(entry('c', 3), stamp(0, 3, 3n)))).toBe('lost');
    expect(await positionOf(sink, logs[0])).toEqual({ kind: 'offset', offset: 2n });
    expect(await write(sink, logs[0].range(2, 6))).toBe('written');
    expect(await ids()).toEqual(['c', 'b', 'a']);
  });

  it('notices that only its fence is gone', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    await server.admin.del('lb:{engagement:1h}:asof');
    const next = logs[0].batch(entry('b', 2), stamp(0, 2, 2n));
    expect(await write(sink, next)).toBe('lost');
    expect(await positionOf(sink, logs[0])).toEqual({ kind: 'rebuild' });
    // Whoever skips the rebuild may not go on in the middle.
    expect(await write(sink, next)).toBe('lost');
  });

  it('survives kill -9 and restart of Redis without losing or repeating anything', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    await server.kill();
    const next = logs[0].batch(entry('b', 2), stamp(0, 2, 2n));
    await expect(write(sink, next)).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE', action: 'retry' });
    await server.start();
    expect(await positionOf(sink, logs[0])).toEqual({ kind: 'offset', offset: 2n });
    expect(await write(sink, next)).toBe('written');
    expect(await write(sink, next)).toBe('written');
    expect(await ids()).toEqual(['b', 'a']);
  });

  it('lets one writer of a partition go on: the last that asked for its position', async () => {
    const logs = twoLogs();
    const first = await openBoth(logs);
    await write(first, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    const second = await open();
    expect(await positionOf(second, logs[0])).toEqual({ kind: 'offset', offset: 2n });
    const next = logs[0].batch(entry('a', 2), stamp(0, 2, 2n));
    expect(await write(first, next)).toBe('lost');
    expect(await write(second, next)).toBe('written');
    expect(await write(first, next)).toBe('stale');
    await expect(first.rebuild!(logs[0].compacted())).rejects.toMatchObject({ code: 'REDIS_TAKEN_OVER' });
    expect((await reader.top('1h', 'events', 1)).entries[0]?.score).toBe(2);
  });

  it('gives every key a time to live, and keeps that of entries that nobody changes', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    const keys = await server.admin.keys('*');
    expect(keys.length).toBeGreaterThan(4);
    for (const key of keys) expect(await server.admin.ttl(key), key).toBeGreaterThan(86_400);
    await server.admin.expire('lb:{engagement:1h}:content:a', 60);
    const successor = await open();
    await positionOf(successor, logs[0]);
    await write(successor, logs[0].batch(entry('b', 1), stamp(0, 2, 2n)));
    expect(await server.admin.ttl('lb:{engagement:1h}:content:a')).toBeGreaterThan(86_400);
  });

  it('says that the answer is not complete when an entry lost its details', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)));
    await write(sink, logs[1].batch(stamp(1, 1, 1n)));
    expect((await reader.top('1h', 'events', 1)).asOf?.complete).toBe(true);
    await server.admin.del('lb:{engagement:1h}:content:a');
    expect((await reader.top('1h', 'events', 1)).asOf?.complete).toBe(false);
    await expect(reader.top('1h', 'events', 101)).rejects.toThrow(RangeError);
    await expect(reader.top('1h', 'events', 0)).rejects.toThrow(RangeError);
  });

  it('has an answer to what Redis refuses', async () => {
    const logs = twoLogs();
    const sink = await openBoth(logs);
    const batch = logs[0].batch(entry('a', 1), stamp(0, 1, 1n));
    const refused = (code: string, action: string) =>
      expect(write(sink, batch)).rejects.toMatchObject({ code, action });
    await server.admin.config('SET', 'maxmemory', '1');
    await refused('REDIS_OOM', 'retry');
    await server.admin.config('SET', 'maxmemory', '0');
    await server.admin.replicaof('127.0.0.1', 1);
    await refused('REDIS_READONLY', 'retry');
    await server.admin.replicaof('NO', 'ONE');
    await server.admin.set('lb:{engagement:1h}:events', 'not ours');
    await refused('REDIS_WRONGTYPE', 'fatal');
    await server.admin.del('lb:{engagement:1h}:events');
    await server.admin.script('FLUSH');
    expect(await write(sink, batch)).toBe('written');
    const [known] = batch.records;
    expect(() => sink.check!(known!)).not.toThrow();
    const unknown = logs[0].batch({
      kind: 'upsert',
      key: 'x|a',
      value: { ...(entry('a', 1) as { value: LeaderboardRecord }).value, window: 'x' },
    });
    expect(() => sink.check!(unknown.records[0]!)).toThrow(
      expect.objectContaining({ code: 'REDIS_LEADERBOARD_UNKNOWN', action: 'dead-letter' }),
    );
  });

  it('needs no more rights than are documented', async () => {
    const rules = ['on', '>secret', '~lb:*', '+@all', '-@dangerous', '+info'];
    await server.admin.call('ACL', 'SETUSER', 'sluice', 'reset', ...rules);
    const logs = twoLogs();
    const sink = await openBoth(logs, { redis: { url: `redis://sluice:secret@127.0.0.1:${server.port}` } });
    expect(await write(sink, logs[0].batch(entry('a', 1), stamp(0, 1, 1n)))).toBe('written');
    expect(await ids()).toEqual(['a']);
    const wrong = open({ redis: { url: `redis://sluice:wrong@127.0.0.1:${server.port}` } });
    await expect(wrong).rejects.toMatchObject({ code: 'REDIS_WRONGPASS', action: 'fatal' });
    await server.admin.call('ACL', 'SETUSER', 'sluice', 'resetkeys', '~other:*');
    const batch = logs[0].batch(stamp(0, 2, 2n));
    await expect(write(sink, batch)).rejects.toMatchObject({ code: 'REDIS_NOPERM', action: 'fatal' });
    await server.admin.call('ACL', 'DELUSER', 'sluice');
  });

  it('does not start where keys may be evicted, or without a server', async () => {
    await server.admin.config('SET', 'maxmemory', '1gb');
    await server.admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await expect(open()).rejects.toMatchObject({ code: 'REDIS_EVICTS', action: 'fatal' });
    await server.admin.config('SET', 'maxmemory-policy', 'noeviction');
    await server.admin.config('SET', 'maxmemory', '0');
    await expect(open({ redis: { url: 'redis://127.0.0.1:1' } })).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
    expect(() => boardReader({ url: 'http://127.0.0.1' })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});
