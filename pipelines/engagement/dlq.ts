/** What the dead-letter commands (pipelines/operations/dlq) are told of the engagement pipeline. */
import type { SchemaSource } from '../../engine/avro/framed-decoder.ts';
import { type Config, clickHouseConfig } from '../config.ts';
import type { DlqPipeline, SinkRedrive } from '../operations/dlq/pipeline.ts';
import { COMMON_REASONS, type Reasons } from '../operations/dlq/reasons.ts';
import { sinkRedrive } from '../operations/dlq/sink-redrive.ts';
import { preparing } from '../worker-environment.ts';
import { engagementClickHouseSink } from './clickhouse-rows.ts';
import { changeDecoder } from './codec/change.ts';
import { CDC_EVENTS, CHANGES, CLICKHOUSE_SINK, DLQ } from './topics.ts';

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
  // Redis and the mirror hold the newest record of a key: they are rebuilt, not mended record by record.
  sinks: { [CLICKHOUSE_SINK]: clickHouseRedrive },
};

function clickHouseRedrive(config: Config, schemas: SchemaSource): SinkRedrive {
  const decoder = changeDecoder(schemas);
  return sinkRedrive({
    sink: engagementClickHouseSink({ name: CLICKHOUSE_SINK, config: clickHouseConfig(config) }),
    topic: CHANGES,
    generation: config.SLUICE_GENERATION,
    prepare: preparing(decoder),
    decode: (value) => decoder.decode(value),
  });
}
