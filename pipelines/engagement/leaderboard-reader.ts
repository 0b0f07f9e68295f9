/** The leaderboards for applications: the best contents of a window, and how fresh and how complete the answer is. */
import type { RedisClientOptions } from '../../connectors/redis/client.ts';
import { type BoardPlace, type BoardReading, boardReader } from '../../connectors/redis/reader.ts';
import type { Metric } from './leaderboard/record.ts';
import { leaderboardName } from './redis-boards.ts';

export interface TopEntry {
  /** From 1. */
  readonly rank: number;
  readonly contentId: string;
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
  /** The metric: a count, seconds, or percent. */
  readonly score: number;
  readonly events: number;
  readonly plays: number;
  readonly finishes: number;
  readonly engagementSeconds: number;
  /** Percent with two decimals; null when no event has one. */
  readonly avgEngagementPct: number | null;
}

export interface TopAsOf {
  /** Source commit time up to which every partition has counted, ms since the epoch. */
  readonly streamTime: number;
  /** The window of the partition that is furthest behind, ms since the epoch: start inclusive, end exclusive. */
  readonly windowStart: number;
  readonly windowEnd: number;
  /** Everything that Postgres committed before this LSN is counted. */
  readonly sourceLsn: bigint;
  /** False while a partition is missing (before its first record, or after Redis lost its data) or an entry has no details. */
  readonly complete: boolean;
}

export interface Top {
  readonly entries: readonly TopEntry[];
  /** Null when there is no leaderboard at all. */
  readonly asOf: TopAsOf | null;
}

export interface LeaderboardReader {
  connect(): Promise<void>;
  /** The first n places (at most 100) of a window (10m, 1h, 1d, 1w, unless a variant has others), in one round trip. Throws REDIS_… as of connectors/redis/errors.ts. */
  top(window: string, metric: Metric, n: number): Promise<Top>;
  close(): Promise<void>;
}

/** What the stage publishes per partition, and so the most that is exact over all of them. */
const MAX_PLACES = 100;

/** Makes a reader; nothing is opened before `connect`. */
export function leaderboardReader(options: RedisClientOptions): LeaderboardReader {
  const reader = boardReader(options);
  return {
    connect: () => reader.connect(),
    async top(window, metric, n) {
      if (n > MAX_PLACES) throw new RangeError(`a board has ${MAX_PLACES} places, not ${n}`);
      const reading = await reader.top(leaderboardName(window), metric, n);
      return { entries: reading.places.map(toEntry), asOf: toAsOf(reading) };
    },
    close: () => reader.close(),
  };
}

function toEntry({ member, score, fields }: BoardPlace, index: number): TopEntry {
  const figure = (name: string) => Number(fields[name] ?? 0);
  return {
    rank: index + 1,
    contentId: member,
    slug: fields.slug ?? '',
    title: fields.title ?? '',
    contentType: fields.content_type ?? '',
    score,
    events: figure('events'),
    plays: figure('plays'),
    finishes: figure('finishes'),
    engagementSeconds: figure('engagement_ms') / 1000,
    avgEngagementPct: fields.avg_pct_bp === undefined ? null : Number(fields.avg_pct_bp) / 100,
  };
}

function toAsOf({ places, stamps, partitions }: BoardReading): TopAsOf | null {
  const stamped = [...stamps.values()].filter(({ stream_time }) => stream_time !== undefined);
  if (stamped.length === 0) return null;
  const behind = stamped.reduce((a, b) => (Number(b.stream_time) < Number(a.stream_time) ? b : a));
  const [lsn = 0n] = stamped.map(({ source_lsn }) => BigInt(source_lsn ?? 0)).sort((a, b) => (a < b ? -1 : 1));
  return {
    streamTime: Number(behind.stream_time),
    windowStart: Number(behind.window_start),
    windowEnd: Number(behind.window_end),
    sourceLsn: lsn,
    complete: stamped.length === partitions && places.every(({ fields }) => Object.keys(fields).length > 0),
  };
}
