import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisSink } from '../../../connectors/redis/sink.ts';
import type { Sink } from '../../../engine/sink.ts';
import { leaderboardReader } from '../../../pipelines/engagement/leaderboard-reader.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { entry, gone, stamp, TestLog } from './records.ts';
import { startRedis, type TestRedis } from './server.ts';

const PARTITIONS = 2;
const HOUR = ENGAGEMENT_LEADERBOARDS.filter(({ name }) => name.endsWith(':1h'));

/** What an engine does with one partition: position, then batch after batch; a step at a time, so that others come in between. */
class Writer {
  readonly sink: Sink<LeaderboardRecord>;
  /** Next offset by partition; null before the position was asked for. */
  readonly at: (number | null)[] = Array.from({ length: PARTITIONS }, () => null);

  constructor(url: string, generation: number) {
    this.generation = generation;
    this.sink = redisSink({
      name: 'redis',
      redis: { url },
      leaderboards: HOUR,
      map: mapLeaderboardRecord,
      partitions: PARTITIONS,
      maxMembersPerCall: 2,
    });
  }

  generation: number;

  /** A new process, with a raised generation. */
  replay(): void {
    this.generation += 1;
    this.at.fill(null);
  }

  /** Reads on from where it is, at most so many records. True when there was nothing left. */
  async step(log: TestLog, size: number): Promise<boolean> {
    const { partition } = log;
    log.generation = this.generation;
    const at = this.at[partition]!;
    if (this.at[partition] === null) {
      const where = await this.sink.position({ topic: 't', partition, generation: this.generation });
      if (where.kind === 'rebuild') await this.sink.rebuild!(log.compacted());
      this.at[partition] = where.kind === 'offset' ? Number(where.offset) : log.length;
      return false;
    }
    const to = Math.min(log.length, at + size);
    if (to === at) return true;
    const outcome = await this.sink.write(log.range(at, to), { retry: false });
    this.at[partition] = outcome === 'lost' ? null : to;
    return false;
  }
}

const partition = fc.nat(PARTITIONS - 1);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('append' as const), partition, content: fc.nat(5), n: fc.nat(9) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      partition,
      who: fc.nat(1),
      size: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), who: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'flush' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'replay' as const }) },
);

describe('redis sink over random histories', { timeout: 120_000 }, () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis(16_550, { appendonly: 'no' });
  }, 60_000);
  afterAll(async () => {
    await server?.stop();
  });

  it('comes to what the log says, whoever wrote, woke up, lost or replayed', async () => {
    const reader = leaderboardReader({ url: server.url });
    await reader.connect();
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
          await server.admin.flushall();
          const logs = Array.from({ length: PARTITIONS }, (_, n) => new TestLog(n));
          const writers = [new Writer(server.url, 1), new Writer(server.url, 1)];
          try {
            for (const at of steps) {
              if (at.do === 'append') {
                const log = logs[at.partition]!;
                const content = `p${at.partition}c${at.content}`;
                log.batch(at.n < 3 ? gone(content) : entry(content, at.n), stamp(at.partition, log.length + 2, 1n));
              } else if (at.do === 'write') await writers[at.who]!.step(logs[at.partition]!, at.size);
              else if (at.do === 'restart') writers[at.who]!.at.fill(null);
              else if (at.do === 'flush') await server.admin.flushall();
              else writers[0]!.replay();
            }
            // In the end one of them has both partitions, and nobody disturbs it.
            const last = writers[0]!;
            last.at.fill(null);
            for (let idle = 0, turns = 0; idle < PARTITIONS; turns += 1) {
              expect(turns).toBeLessThan(1_000);
              idle = (await last.step(logs[turns % PARTITIONS]!, 5)) ? idle + 1 : 0;
            }
            const expected = logs
              .flatMap((log) => log.compacted().records)
              .flatMap((record) =>
                record.kind === 'upsert' && record.value.body.kind === 'LeaderboardEntry' ? [record.value.body] : [],
              )
              .sort((a, b) => b.events - a.events || (a.content_id < b.content_id ? 1 : -1))
              .map(({ content_id, events }) => [content_id, events, events]);
            const top = await reader.top('1h', 'events', 100);
            expect(top.entries.map(({ contentId, score, events }) => [contentId, score, events])).toEqual(expected);
            const hashes = await server.admin.keys('lb:{engagement:1h}:content:*');
            expect(hashes).toHaveLength(expected.length);
          } finally {
            await Promise.all(writers.map(({ sink }) => sink.close()));
          }
        }),
        { seed: 77, numRuns: 60 },
      );
    } finally {
      await reader.close();
    }
  });
});
