-- How far each sink has written each partition. Written after every batch, so a row here says that its whole range
-- [.., next_offset) is in every table that the batch feeds.

CREATE TABLE IF NOT EXISTS {table:sluice_progress}{on_cluster} (
  pipeline LowCardinality(String) COMMENT 'name of the sink process',
  topic LowCardinality(String) COMMENT 'Kafka topic that it reads',
  partition UInt16 COMMENT 'partition of the topic',
  generation UInt32 COMMENT 'which reading of the topic this is; a deliberate replay raises it',
  next_offset UInt64 COMMENT 'first offset not yet written',
  lsn UInt64 COMMENT 'everything that Postgres committed before this LSN and that belongs to the partition is written; 0 when not known yet',
  stream_time DateTime64(3, 'UTC') COMMENT 'source commit time that the partition has reached',
  updated_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row was written',
  version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(generation), 48), next_offset) COMMENT 'a later reading or a later offset wins, so a late writer cannot turn the clock back'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (pipeline, topic, partition)
COMMENT 'Read with FINAL, or through sluice_freshness';

{distributed:sluice_progress cityHash64(pipeline, topic, partition)}

CREATE OR REPLACE VIEW sluice_freshness{on_cluster} (
  pipeline LowCardinality(String) COMMENT 'name of the sink process',
  topic LowCardinality(String) COMMENT 'Kafka topic that it reads',
  partition UInt16 COMMENT 'partition of the topic',
  generation UInt32 COMMENT 'which reading of the topic this is',
  next_offset UInt64 COMMENT 'first offset not yet written',
  lsn UInt64 COMMENT 'position in the source: everything committed before it is shown',
  stream_time DateTime64(3, 'UTC') COMMENT 'the figures of this partition are as of this source time',
  updated_at DateTime64(3, 'UTC') COMMENT 'when the sink last wrote',
  behind_seconds Float64 COMMENT 'age of the figures: now minus stream_time'
) AS
SELECT
  pipeline,
  topic,
  partition,
  generation,
  next_offset,
  lsn,
  stream_time,
  updated_at,
  dateDiff('millisecond', stream_time, now64(3, 'UTC')) / 1000 AS behind_seconds
FROM sluice_progress FINAL;
