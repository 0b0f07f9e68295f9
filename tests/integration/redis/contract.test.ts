import { redisSink } from '../../../connectors/redis/sink.ts';
import type { SinkRecord } from '../../../engine/sink.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { describeSinkContract } from '../../support/sink-contract.ts';
import { entry, gone, stamp, toRecord } from './records.ts';
import { startRedis } from './server.ts';

function recordAt(offset: bigint): SinkRecord<LeaderboardRecord> {
  const n = Number(offset);
  const content = `c${n % 7}`;
  if (n % 10 === 9) return toRecord(stamp(3, 1_000 + n, offset), offset);
  return toRecord(n % 10 === 4 ? gone(content) : entry(content, n + 1, { ranked_seconds: n % 3 === 0 }), offset);
}

describeSinkContract<LeaderboardRecord>('redis', async () => {
  const server = await startRedis(16_500);
  return {
    makeSink: () =>
      redisSink({
        name: 'redis',
        redis: { url: server.url, commandTimeoutMs: 5_000 },
        leaderboards: ENGAGEMENT_LEADERBOARDS,
        map: mapLeaderboardRecord,
        partitions: 4,
        maxMembersPerCall: 3,
      }),
    reset: async () => {
      await server.admin.flushall();
    },
    records: (from, to) => Array.from({ length: Number(to - from) }, (_, n) => recordAt(from + BigInt(n))),
    readBack: async () => {
      const seen: Record<string, unknown> = {};
      for (const key of (await server.admin.keys('lb:*')).sort()) {
        if (key.endsWith(':asof') || key.endsWith(':owners')) continue;
        const type = await server.admin.type(key);
        seen[key] =
          type === 'zset'
            ? await server.admin.call('ZRANGE', key, 0, -1, 'WITHSCORES')
            : await server.admin.hgetall(key);
      }
      return seen;
    },
    breakConnection: () => server.kill(),
    restoreConnection: () => server.start(),
    stop: () => server.stop(),
  };
});
