-- Columns of the source table that the pipeline does not know, carried as JSON, and integers as wide as Postgres' bigint.
-- See docs/schema-evolution.md.
--
-- Everything runs beside a sink of the version before: it names its columns, and a narrower number fits. The types are changed
-- by mutations, which rewrite these two columns in the background of reads and inserts.

ALTER TABLE {table:engagement_changes}{on_cluster}
  ADD COLUMN IF NOT EXISTS extra Nullable(String) COMMENT 'columns of the source table without a column here, as a JSON object; NULL when there are none' CODEC(ZSTD(3)) AFTER engagement_pct_bp,
  MODIFY COLUMN duration_ms Nullable(Int64),
  MODIFY COLUMN content_length_seconds Nullable(Int64);

{alter_distributed:engagement_changes ADD COLUMN IF NOT EXISTS extra Nullable(String) COMMENT 'columns of the source table without a column here, as a JSON object; NULL when there are none' AFTER engagement_pct_bp, MODIFY COLUMN duration_ms Nullable(Int64), MODIFY COLUMN content_length_seconds Nullable(Int64)}

ALTER TABLE {table:engagement_events_store}{on_cluster}
  ADD COLUMN IF NOT EXISTS extra Nullable(String) COMMENT 'columns of the source table without a column here, as a JSON object; NULL when there are none' CODEC(ZSTD(3)) AFTER engagement_pct_bp,
  MODIFY COLUMN duration_ms Nullable(Int64),
  MODIFY COLUMN content_length_seconds Nullable(Int64);

{alter_distributed:engagement_events_store ADD COLUMN IF NOT EXISTS extra Nullable(String) COMMENT 'columns of the source table without a column here, as a JSON object; NULL when there are none' AFTER engagement_pct_bp, MODIFY COLUMN duration_ms Nullable(Int64), MODIFY COLUMN content_length_seconds Nullable(Int64)}

-- In place: dropped and made anew, the view would miss what is inserted in between.
ALTER TABLE engagement_events_feed{on_cluster} MODIFY QUERY
SELECT
  event_id, content_id, user_id, event_type, event_ts, duration_ms, device, content_slug, content_title, content_type,
  content_length_seconds, engagement_pct_bp, extra, lsn, commit_ts, source_partition,
  bitOr(bitShiftLeft(toUInt64(generation), 48), source_offset * 2 + if(sign > 0, 1, 0)) AS version,
  if(sign > 0, 0, 1) AS is_deleted
FROM {table:engagement_changes};

CREATE OR REPLACE VIEW engagement_events{on_cluster} (
  event_id Int64 COMMENT 'primary key of the event in Postgres',
  content_id UUID COMMENT 'content the event belongs to',
  user_id UUID COMMENT 'user who caused the event',
  event_type LowCardinality(String) COMMENT 'play, pause, finish, click, or a kind that was added since',
  event_ts DateTime64(6, 'UTC') COMMENT 'when the user did it',
  duration_ms Nullable(Int64) COMMENT 'how long, in milliseconds; NULL when not measured',
  engagement_seconds Nullable(Float64) COMMENT 'duration_ms / 1000',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  content_slug String COMMENT 'slug of the content',
  content_title String COMMENT 'title of the content',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter, video, or a kind that was added since',
  content_length_seconds Nullable(Int64) COMMENT 'length of the content; NULL when it has none',
  engagement_pct_bp Nullable(Int64) COMMENT 'duration / length in basis points (10000 is 100 %)',
  engagement_pct Nullable(Float64) COMMENT 'duration / length in percent; NULL when an operand is NULL or the length is 0',
  extra Nullable(String) COMMENT 'columns of the source table without a column here, as a JSON object; NULL when there are none. JSONExtract reads them',
  lsn UInt64 COMMENT 'LSN of the newest change of the row',
  commit_ts DateTime64(3, 'UTC') COMMENT 'commit time of the newest change of the row',
  source_partition UInt16 COMMENT 'partition of engagement.changes; joins sluice_freshness'
) AS
SELECT
  event_id, content_id, user_id, event_type, event_ts, duration_ms, duration_ms / 1000 AS engagement_seconds, device,
  content_slug, content_title, content_type, content_length_seconds, engagement_pct_bp,
  engagement_pct_bp / 100 AS engagement_pct, extra, lsn, commit_ts, source_partition
FROM engagement_events_store FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
