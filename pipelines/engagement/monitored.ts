/** What the monitor (pipelines/operations/monitor/monitored.ts) is told of the engagement pipeline. */
import { asOfKey } from '../../connectors/redis/keys.ts';
import { ENGAGEMENT_LEADERBOARDS } from './redis-boards.ts';
import {
  CDC_EVENTS,
  CHANGES,
  CLICKHOUSE_SINK,
  DLQ,
  EVENTS_V1,
  LEADERBOARD_CHANGELOG,
  LEADERBOARDS,
  REDIS_SINK,
} from './topics.ts';

const SINKS = { clickHouse: CLICKHOUSE_SINK, redis: REDIS_SINK };

export function engagementMonitored({ mirrored }: { readonly mirrored: boolean }) {
  const workers = [
    { name: 'engagement.enrich', input: CDC_EVENTS },
    { name: 'engagement.leaderboard', input: CHANGES },
    { name: SINKS.clickHouse, input: CHANGES },
    { name: SINKS.redis, input: LEADERBOARDS },
    ...(mirrored ? [{ name: 'engagement.mirror', input: EVENTS_V1 }] : []),
  ];
  return {
    name: 'engagement',
    workers,
    transactional: [CDC_EVENTS, CHANGES, EVENTS_V1, LEADERBOARDS, LEADERBOARD_CHANGELOG, DLQ],
    dlq: DLQ,
    clickHouseSinks: [SINKS.clickHouse],
    redisSinks: [{ name: SINKS.redis, stamps: ENGAGEMENT_LEADERBOARDS.map(({ name }) => asOfKey(name)) }],
  };
}
