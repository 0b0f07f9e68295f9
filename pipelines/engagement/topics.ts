/** The topics of the engagement pipeline and how each is kept. */
import { topicOf } from '../../connectors/debezium/config.ts';
import { capturedTopic, DAY_MS, deadLetterTopic, type TopicSpec } from '../operations/topics.ts';
import { CONTENT_TABLE, EVENTS_TABLE } from './capture.ts';

export const CDC_EVENTS = topicOf(EVENTS_TABLE);
export const CDC_CONTENT = topicOf(CONTENT_TABLE);
export const CHANGES = 'engagement.changes';
export const EVENTS_V1 = 'engagement.events.v1';
export const LEADERBOARDS = 'engagement.leaderboards';
export const LEADERBOARD_CHANGELOG = 'engagement.leaderboard-store-changelog';
export const DLQ = 'engagement.dlq';

/** Consumer group of the ClickHouse sink: its process, the stage of its dead letters, and the `pipeline` of its progress. */
export const CLICKHOUSE_SINK = 'engagement.sink.clickhouse';
/** Consumer group of the Redis sink. */
export const REDIS_SINK = 'engagement.sink.redis';
/** Consumer group of the mirror, here and on the other cluster. */
export const MIRROR = 'engagement.mirror';

/** The topics of a variant of the leaderboards: its boards, and its store's changelog. */
export function variantTopics(
  { output, changelog }: { readonly output: string; readonly changelog: string },
  partitions: number,
): readonly TopicSpec[] {
  return [output, changelog].map((name) => ({ name, partitions, cleanup: 'compact', retentionMs: -1 }));
}

export function engagementTopics(partitions: number): readonly TopicSpec[] {
  return [
    capturedTopic(CDC_EVENTS, partitions, 7 * DAY_MS),
    capturedTopic(CDC_CONTENT, 1, -1),
    // The longest window, and a day that an event may be dated ahead: a `before` never outlives its `after` in the log.
    { name: CHANGES, partitions, cleanup: 'delete', retentionMs: 9 * DAY_MS },
    { name: EVENTS_V1, partitions, cleanup: 'compact', retentionMs: -1 },
    ...variantTopics({ output: LEADERBOARDS, changelog: LEADERBOARD_CHANGELOG }, partitions),
    deadLetterTopic(DLQ),
  ];
}
