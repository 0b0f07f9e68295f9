/** How topics are kept, and those of the system itself, whatever pipelines run. */
import { HEARTBEAT_TABLE, MAX_CAPTURED_BYTES, NOTIFICATION_TOPIC, topicOf } from '../../connectors/debezium/config.ts';

export type Cleanup = 'delete' | 'compact';

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  readonly cleanup: Cleanup;
  /** -1 keeps for ever; ignored for compacted topics. */
  readonly retentionMs: number;
  /** How long a tombstone stays in a compacted topic once it is cleaned: who was away for longer misses deletions. A day without. */
  readonly tombstonesMs?: number;
  /** Records get the time at which they were written, whatever time their writer gave them. */
  readonly appendTime?: boolean;
  /** The largest record batch taken; 8 MiB without. */
  readonly maxBytes?: number;
}

export const DAY_MS = 86_400_000;

const MAX_BYTES = 8 << 20;

/** The source clock. */
export const CDC_HEARTBEAT = topicOf({ name: HEARTBEAT_TABLE });
/** What operators did. Kept for ever. */
export const AUDIT_TOPIC = 'sluice.audit';
/** Which deployment of a part is live. */
export const DEPLOYMENTS_TOPIC = 'sluice.deployments';

export const SYSTEM_TOPICS: readonly TopicSpec[] = [
  { name: CDC_HEARTBEAT, partitions: 1, cleanup: 'delete', retentionMs: DAY_MS },
  { name: NOTIFICATION_TOPIC, partitions: 1, cleanup: 'delete', retentionMs: 7 * DAY_MS },
  { name: AUDIT_TOPIC, partitions: 1, cleanup: 'delete', retentionMs: -1 },
  { name: DEPLOYMENTS_TOPIC, partitions: 1, cleanup: 'compact', retentionMs: -1 },
];

/** A letter has its record's timestamp: retention must count from when it was written. */
export function deadLetterTopic(name: string): TopicSpec {
  return { name, partitions: 1, cleanup: 'delete', retentionMs: 30 * DAY_MS, appendTime: true };
}

/** @param retentionMs see `TopicSpec` */
export function capturedTopic(name: string, partitions: number, retentionMs: number): TopicSpec {
  return { name, partitions, cleanup: 'delete', retentionMs, maxBytes: MAX_CAPTURED_BYTES };
}

/** The broker's settings of a topic, all explicit. */
export function topicConfig({
  cleanup,
  retentionMs,
  appendTime,
  tombstonesMs = DAY_MS,
  maxBytes = MAX_BYTES,
}: TopicSpec): Readonly<Record<string, string>> {
  const common = {
    ...(appendTime ? { 'message.timestamp.type': 'LogAppendTime' } : {}),
    'cleanup.policy': cleanup,
    'max.message.bytes': String(maxBytes),
    'min.insync.replicas': '1',
  };
  switch (cleanup) {
    case 'delete':
      return { ...common, 'retention.ms': String(retentionMs) };
    case 'compact':
      return {
        ...common,
        'delete.retention.ms': String(tombstonesMs),
        'min.cleanable.dirty.ratio': '0.3',
        'segment.ms': String(DAY_MS),
      };
    default:
      return cleanup satisfies never;
  }
}
