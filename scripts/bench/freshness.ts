/** Readers that look again and again at what a sink shows, as an application or an analyst would, and time each commit's way to them. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../connectors/clickhouse/client.ts';
import { asOfKey } from '../../connectors/redis/keys.ts';
import { leaderboardName } from '../../pipelines/engagement/redis-boards.ts';
import { Latencies, type LatencySummary, StampTracker } from './latency.ts';

export interface Reader {
  readonly tracker: StampTracker;
  /** What a look costs the reader: its round trips. */
  readonly roundTrips: Latencies;
  /** Ends the looking. Throws what ended it before. */
  close(): Promise<void>;
}

const REDIS_EVERY_MS = 15;
const CLICKHOUSE_EVERY_MS = 400;

interface Looks {
  readonly everyMs: number;
  readonly look: (tracker: StampTracker) => Promise<void>;
  readonly disconnect: () => Promise<void>;
}

function looking({ everyMs, look, disconnect }: Looks): Reader {
  const tracker = new StampTracker();
  const roundTrips = new Latencies();
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const started = performance.now();
      await look(tracker);
      const tookMs = performance.now() - started;
      roundTrips.addSpan(tookMs, Math.round(tookMs) + 1);
      await delay(Math.max(1, everyMs - tookMs), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const ended = loop();
  // Reported by close().
  ended.catch(() => undefined);
  return {
    tracker,
    roundTrips,
    close: async () => {
      stopping.abort();
      await ended.finally(disconnect);
    },
  };
}

/** Follows the as-of stamps of the 10-minute leaderboard: one HMGET a look. */
export function redisReader(url: string, partitions: number): Reader {
  const redis = new Redis(url, { maxRetriesPerRequest: 3 });
  redis.on('error', () => undefined);
  const key = asOfKey(leaderboardName('10m'));
  const fields = Array.from({ length: partitions }, (_, partition) => `${partition}:stream_time`);
  return looking({
    everyMs: REDIS_EVERY_MS,
    look: async (tracker) => {
      const stamps = await redis.hmget(key, ...fields);
      const seenMs = Date.now();
      for (const [partition, stamp] of stamps.entries()) {
        if (stamp !== null) tracker.observe(partition, Number(stamp), seenMs);
      }
    },
    disconnect: async () => redis.disconnect(),
  });
}

interface NewestChange {
  readonly source_partition: number;
  readonly next_offset: string;
  readonly commit_ms: string;
}

/** Follows the newest commit time in `engagement_changes`, reading by its sorting key only what came since the last look. */
export function clickHouseReader(config: ClickHouseConfig, partitions: number): Reader {
  const client = clickHouseClient(config);
  const next = new Map(Array.from({ length: partitions }, (_, partition) => [partition, '0']));
  return looking({
    everyMs: CLICKHOUSE_EVERY_MS,
    look: async (tracker) => {
      const conditions = [...next.keys()].map((p) => `(source_partition = ${p} AND source_offset >= {o${p}:UInt64})`);
      const rows = await selectRows<NewestChange>(
        client,
        `SELECT source_partition, max(source_offset) + 1 AS next_offset, toUnixTimestamp64Milli(max(commit_ts)) AS commit_ms
         FROM engagement_changes WHERE ${conditions.join(' OR ')} GROUP BY source_partition`,
        Object.fromEntries([...next].map(([partition, offset]) => [`o${partition}`, offset])),
      );
      const seenMs = Date.now();
      for (const row of rows) {
        next.set(row.source_partition, row.next_offset);
        tracker.observe(row.source_partition, Number(row.commit_ms), seenMs);
      }
    },
    disconnect: () => client.close(),
  });
}

/** Zeroes where nothing was seen, which the caller must take for a failure. */
export function summaryOf(latencies: Latencies): LatencySummary {
  return latencies.summary() ?? { p50Ms: 0, p95Ms: 0, p99Ms: 0, maxMs: 0, meanMs: 0 };
}
