/** The topics of the engagement pipeline and how each is kept. */

import { topicOf } from '../../connectors/debezium/config.ts';
import { AUDIT_TOPIC } from '../operations/topics.ts';
import { CONTENT_TABLE, EVENTS_TABLE } from './capture.ts';

export type Cleanup = 'delete' | 'compact';

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  readonly cleanup: Cleanup;
  /** -1 keeps for ever; ignored for compacted topics. */
  readonly retentionMs: number;
}

const DAY_MS = 86_400_000;

export const CDC_EVENTS = topicOf(EVENTS_TABLE);
export const CDC_CONTENT = topicOf(CONTENT_TABLE);
export const CDC_HEARTBEAT = 'cdc.public.sluice_heartbeat';
export const CHANGES = 'engagement.changes';
export const EVENTS_V1 = 'engagement.events.v1';
export const LEADERBOARDS = 'engagement.leaderboards';
export const LEADERBOARD_CHANGELOG = 'engagement.leaderboard-store-changelog';
/** Where Debezium reports the progress of snapshots. */
export const NOTIFICATIONS = 'sluice.notifications';
export const DLQ = 'engagement.dlq';

/** All topics, with explicit settings: nothing relies on auto-creation. */
export function engagementTopics(partitions: number): readonly TopicSpec[] {
  return [
    { name: CDC_EVENTS, partitions, cleanup: 'delete', retentionMs: 7 * DAY_MS },
    { name: CDC_CONTENT, partitions: 1, cleanup: 'delete', retentionMs: -1 },
    { name: CDC_HEARTBEAT, partitions: 1, cleanup: 'delete', retentionMs: DAY_MS },
    // The longest window, and a day that an event may be dated ahead: a `before` never outlives its `after` in the log.
    { name: CHANGES, partitions, cleanup: 'delete', retentionMs: 9 * DAY_MS },
    { name: EVENTS_V1, partitions, cleanup: 'compact', retentionMs: -1 },
    { name: LEADERBOARDS, partitions, cleanup: 'compact', retentionMs: -1 },
    { name: LEADERBOARD_CHANGELOG, partitions, cleanup: 'compact', retentionMs: -1 },
    { name: NOTIFICATIONS, partitions: 1, cleanup: 'delete', retentionMs: 7 * DAY_MS },
    { name: AUDIT_TOPIC, partitions: 1, cleanup: 'delete', retentionMs: -1 },
    { name: DLQ, partitions: 1, cleanup: 'delete', retentionMs: 30 * DAY_MS },
  ];
}

/** The broker's settings of a topic, all explicit. */
export function topicConfig({ name, cleanup, retentionMs }: TopicSpec): Readonly<Record<string, string>> {
  const common = {
    // A letter has its record's timestamp: retention must count from when it was written.
    ...(name === DLQ ? { 'message.timestamp.type': 'LogAppendTime' } : {}),
    'cleanup.policy': cleanup,
    'max.message.bytes': '8388608',
    'min.insync.replicas': '1',
  };
  switch (cleanup) {
    case 'delete':
      return { ...common, 'retention.ms': String(retentionMs) };
    case 'compact':
      return {
        ...common,
        'delete.retention.ms': String(DAY_MS),
        'min.cleanable.dirty.ratio': '0.3',
        'segment.ms': String(DAY_MS),
      };
    default:
      return cleanup satisfies never;
  }
}
