/** What the dead-letter commands (pipelines/operations/dlq) are told of the engagement pipeline. */
import type { DlqPipeline } from '../operations/dlq/pipeline.ts';
import { COMMON_REASONS, type Reasons } from '../operations/dlq/reasons.ts';
import { CDC_EVENTS, DLQ } from './topics.ts';

export const ENGAGEMENT_REASONS = {
  ...COMMON_REASONS,
  NEGATIVE_DURATION: {
    meaning: 'the duration is below zero',
    fault: { column: 'duration_ms', expected: '0 or more, or NULL' },
  },
  DURATION_OUT_OF_RANGE: {
    meaning: 'the duration is longer than any that can be meant',
    fault: { column: 'duration_ms', expected: 'at most a year' },
  },
  TIMESTAMP_OUT_OF_RANGE: {
    meaning: 'the time of the event cannot be counted',
    fault: { column: 'event_ts', expected: 'a time of the years 1970 to 2199' },
  },
  FUTURE_EVENT: {
    meaning: 'the time of the event is more than a day behind the commit of its row',
    fault: { column: 'event_ts', expected: 'at most 24 hours after source.ts_ms, the time of the commit' },
  },
  UNKNOWN_CONTENT: {
    meaning: 'no version of the content was ever captured',
    fault: { column: 'content_id', expected: 'the id of a captured content' },
  },
} as const satisfies Reasons;

export const ENGAGEMENT_DLQ: DlqPipeline = {
  name: 'engagement',
  topic: DLQ,
  reasons: ENGAGEMENT_REASONS,
  captured: [CDC_EVENTS],
};
