-- The log: one row per signed contribution, in the order of the topic. Everything else is fed from here.
-- The sorting key is the position in the topic, so that "is this range here?" reads a few granules, batches arrive
-- sorted, and a partition's history compresses to little.

CREATE TABLE IF NOT EXISTS {table:engagement_changes}{on_cluster} (
  sign Int8 COMMENT '+1: the contribution counts from here on; -1: it no longer does',
  kind Enum8('insert' = 1, 'update' = 2, 'delete' = 3, 'correct' = 4) COMMENT 'what happened; correct: the content changed, not the event',
  event_id Int64 COMMENT 'primary key of the event in Postgres' CODEC(ZSTD(3)),
  content_id UUID COMMENT 'content the event belongs to' CODEC(ZSTD(3)),
  user_id UUID COMMENT 'user who caused the event' CODEC(ZSTD(3)),
  event_type LowCardinality(String) COMMENT 'play, pause, finish or click' CODEC(ZSTD(3)),
  event_ts DateTime64(6, 'UTC') COMMENT 'when the user did it' CODEC(Delta, ZSTD(3)),
  duration_ms Nullable(Int32) COMMENT 'how long, in milliseconds; NULL when not measured' CODEC(ZSTD(3)),
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known' CODEC(ZSTD(3)),
  content_slug String COMMENT 'slug of the content as of the change' CODEC(ZSTD(3)),
  content_title String COMMENT 'title of the content as of the change' CODEC(ZSTD(3)),
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video' CODEC(ZSTD(3)),
  content_length_seconds Nullable(Int32) COMMENT 'length of the content; NULL when it has none' CODEC(ZSTD(3)),
  engagement_pct_bp Nullable(Int64) COMMENT 'duration / length in basis points (10000 is 100 %); NULL when an operand is NULL or the length is 0' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the change in Postgres' CODEC(Delta, ZSTD(3)),
  xid UInt64 COMMENT 'top-level Postgres transaction; 0 when not known (a snapshot read)' CODEC(Delta, ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of engagement.changes' CODEC(ZSTD(3)),
  source_offset UInt64 COMMENT 'offset in the partition' CODEC(Delta, ZSTD(3)),
  generation UInt32 COMMENT 'which reading of the topic wrote the row' CODEC(ZSTD(3)),
  write_before DateTime('UTC') COMMENT 'the lease of the writer: a block that arrives later is refused' CODEC(ZSTD(3)),
  inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row was written here' CODEC(Delta, ZSTD(3)),
  INDEX content_type_bloom content_type TYPE bloom_filter(0.01) GRANULARITY 4,
  INDEX content_id_bloom content_id TYPE bloom_filter(0.01) GRANULARITY 4,
  INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 4,
  -- A writer that slept through its lease may hold a range which others have written since, so long ago that the
  -- deduplication window has forgotten the token: the server refuses it, whatever the client believes.
  CONSTRAINT write_lease CHECK write_before >= now(),
  -- The version of a row packs generation and offset into 64 bits.
  CONSTRAINT generation_fits CHECK generation < 65536
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(event_ts)
ORDER BY (source_partition, source_offset, sign)
SETTINGS {dedup}
COMMENT 'Signed change log: sums of sign times value over it are the figures of every rollup';

-- By time of insertion, not of the event: a replay must find what it wrote before, late events included. Keep it longer
-- than the topic is kept.
-- ttl: engagement_changes toDateTime(inserted_at)

{distributed:engagement_changes cityHash64(content_id)}
