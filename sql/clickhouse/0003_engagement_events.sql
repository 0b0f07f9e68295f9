-- Current rows. The newest version of (content_id, event_id) wins; a contribution taken back is written as deleted.
-- Version: generation, offset, and within one change the before-row below the after-row. A change that moves event_ts to
-- another month writes the old row off in its old partition (before) and the new one in the new (after), so every
-- partition is right by itself and FINAL never has to look across partitions.

CREATE TABLE IF NOT EXISTS {table:engagement_events_store}{on_cluster} (
  event_id Int64 COMMENT 'primary key of the event in Postgres' CODEC(ZSTD(3)),
  content_id UUID COMMENT 'content the event belongs to' CODEC(ZSTD(3)),
  user_id UUID COMMENT 'user who caused the event' CODEC(ZSTD(3)),
  event_type LowCardinality(String) COMMENT 'play, pause, finish or click' CODEC(ZSTD(3)),
  event_ts DateTime64(6, 'UTC') COMMENT 'when the user did it' CODEC(ZSTD(3)),
  duration_ms Nullable(Int32) COMMENT 'how long, in milliseconds; NULL when not measured' CODEC(ZSTD(3)),
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known' CODEC(ZSTD(3)),
  content_slug String COMMENT 'slug of the content' CODEC(ZSTD(3)),
  content_title String COMMENT 'title of the content' CODEC(ZSTD(3)),
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video' CODEC(ZSTD(3)),
  content_length_seconds Nullable(Int32) COMMENT 'length of the content; NULL when it has none' CODEC(ZSTD(3)),
  engagement_pct_bp Nullable(Int64) COMMENT 'duration / length in basis points' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the newest change' CODEC(ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'commit time of the newest change' CODEC(ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of engagement.changes' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'generation << 48 | offset << 1 | (1 for an after-row)' CODEC(ZSTD(3)),
  is_deleted UInt8 COMMENT '1: the row is no longer there' CODEC(ZSTD(3)),
  INDEX content_type_bloom content_type TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(event_ts)
ORDER BY (content_id, event_id)
SETTINGS {dedup}
COMMENT 'Storage of engagement_events, which is the view to query';

-- ttl: engagement_events_store toDateTime(event_ts)

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_events_feed{on_cluster}
TO {table:engagement_events_store} AS
SELECT
  event_id, content_id, user_id, event_type, event_ts, duration_ms, device, content_slug, content_title, content_type,
  content_length_seconds, engagement_pct_bp, lsn, commit_ts, source_partition,
  bitOr(bitShiftLeft(toUInt64(generation), 48), source_offset * 2 + if(sign > 0, 1, 0)) AS version,
  if(sign > 0, 0, 1) AS is_deleted
FROM {table:engagement_changes};

{distributed:engagement_events_store cityHash64(content_id)}

CREATE OR REPLACE VIEW engagement_events{on_cluster} (
  event_id Int64 COMMENT 'primary key of the event in Postgres',
  content_id UUID COMMENT 'content the event belongs to',
  user_id UUID COMMENT 'user who caused the event',
  event_type LowCardinality(String) COMMENT 'play, pause, finish or click',
  event_ts DateTime64(6, 'UTC') COMMENT 'when the user did it',
  duration_ms Nullable(Int32) COMMENT 'how long, in milliseconds; NULL when not measured',
  engagement_seconds Nullable(Float64) COMMENT 'duration_ms / 1000',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  content_slug String COMMENT 'slug of the content',
  content_title String COMMENT 'title of the content',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  content_length_seconds Nullable(Int32) COMMENT 'length of the content; NULL when it has none',
  engagement_pct_bp Nullable(Int64) COMMENT 'duration / length in basis points (10000 is 100 %)',
  engagement_pct Nullable(Float64) COMMENT 'duration / length in percent; NULL when an operand is NULL or the length is 0',
  lsn UInt64 COMMENT 'LSN of the newest change of the row',
  commit_ts DateTime64(3, 'UTC') COMMENT 'commit time of the newest change of the row',
  source_partition UInt16 COMMENT 'partition of engagement.changes; joins sluice_freshness'
) AS
SELECT
  event_id, content_id, user_id, event_type, event_ts, duration_ms, duration_ms / 1000 AS engagement_seconds, device,
  content_slug, content_title, content_type, content_length_seconds, engagement_pct_bp,
  engagement_pct_bp / 100 AS engagement_pct, lsn, commit_ts, source_partition
FROM engagement_events_store FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The newest name of each content, for figures that are grouped by id.

CREATE TABLE IF NOT EXISTS {table:engagement_content_store}{on_cluster} (
  content_id UUID COMMENT 'content' CODEC(ZSTD(3)),
  content_slug String COMMENT 'slug' CODEC(ZSTD(3)),
  content_title String COMMENT 'title' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'generation << 48 | offset of the newest change' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY content_id
SETTINGS {dedup}
COMMENT 'Storage of engagement_content, which is the view to query';

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_content_feed{on_cluster}
TO {table:engagement_content_store} AS
SELECT
  content_id,
  argMax(c.content_slug, c.at) AS content_slug,
  argMax(c.content_title, c.at) AS content_title,
  max(c.at) AS version
FROM (
  SELECT content_id, content_slug, content_title, bitOr(bitShiftLeft(toUInt64(generation), 48), source_offset) AS at
  FROM {table:engagement_changes}
  WHERE sign > 0
) AS c
GROUP BY content_id;

{distributed:engagement_content_store cityHash64(content_id)}

CREATE OR REPLACE VIEW engagement_content{on_cluster} (
  content_id UUID COMMENT 'content',
  content_slug String COMMENT 'newest slug',
  content_title String COMMENT 'newest title'
) AS
SELECT content_id, content_slug, content_title
FROM engagement_content_store FINAL;
