-- Rollups: sums of sign times value by bucket, content and device. A retraction subtracts exactly what was added, and
-- averages are sum / count at read time, so nothing drifts. Every one is fed from the log itself and has its own
-- deduplication window: a retried insert completes the tables it had missed and changes no other.

CREATE TABLE IF NOT EXISTS {table:engagement_hourly_store}{on_cluster} (
  hour DateTime('UTC') COMMENT 'start of the hour, UTC' CODEC(ZSTD(3)),
  content_id UUID COMMENT 'content' CODEC(ZSTD(3)),
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video' CODEC(ZSTD(3)),
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known' CODEC(ZSTD(3)),
  events SimpleAggregateFunction(sum, Int64) COMMENT 'events' CODEC(ZSTD(3)),
  plays SimpleAggregateFunction(sum, Int64) COMMENT 'events of type play' CODEC(ZSTD(3)),
  pauses SimpleAggregateFunction(sum, Int64) COMMENT 'events of type pause' CODEC(ZSTD(3)),
  finishes SimpleAggregateFunction(sum, Int64) COMMENT 'events of type finish' CODEC(ZSTD(3)),
  clicks SimpleAggregateFunction(sum, Int64) COMMENT 'events of type click' CODEC(ZSTD(3)),
  duration_ms_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of duration_ms' CODEC(ZSTD(3)),
  duration_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a duration' CODEC(ZSTD(3)),
  pct_bp_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of engagement_pct_bp' CODEC(ZSTD(3)),
  pct_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a percentage' CODEC(ZSTD(3)),
  INDEX content_type_bloom content_type TYPE bloom_filter(0.01) GRANULARITY 4,
  INDEX content_id_bloom content_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine:AggregatingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, content_id, content_type, device)
SETTINGS {dedup}, allow_nullable_key = 1
COMMENT 'Storage of engagement_hourly, which is the view to query';

-- ttl: engagement_hourly_store hour

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_hourly_feed{on_cluster}
TO {table:engagement_hourly_store} AS
SELECT
  toStartOfHour(event_ts) AS hour,
  content_id,
  content_type,
  device,
  sum(sign) AS events,
  sum(sign * (event_type = 'play')) AS plays,
  sum(sign * (event_type = 'pause')) AS pauses,
  sum(sign * (event_type = 'finish')) AS finishes,
  sum(sign * (event_type = 'click')) AS clicks,
  sum(sign * ifNull(duration_ms, 0)) AS duration_ms_sum,
  sum(sign * isNotNull(duration_ms)) AS duration_samples,
  sum(sign * ifNull(engagement_pct_bp, 0)) AS pct_bp_sum,
  sum(sign * isNotNull(engagement_pct_bp)) AS pct_samples
FROM {table:engagement_changes}
GROUP BY hour, content_id, content_type, device;

{distributed:engagement_hourly_store cityHash64(content_id)}

CREATE TABLE IF NOT EXISTS {table:engagement_daily_store}{on_cluster} (
  day Date COMMENT 'day, UTC' CODEC(ZSTD(3)),
  content_id UUID COMMENT 'content' CODEC(ZSTD(3)),
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video' CODEC(ZSTD(3)),
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known' CODEC(ZSTD(3)),
  events SimpleAggregateFunction(sum, Int64) COMMENT 'events' CODEC(ZSTD(3)),
  plays SimpleAggregateFunction(sum, Int64) COMMENT 'events of type play' CODEC(ZSTD(3)),
  pauses SimpleAggregateFunction(sum, Int64) COMMENT 'events of type pause' CODEC(ZSTD(3)),
  finishes SimpleAggregateFunction(sum, Int64) COMMENT 'events of type finish' CODEC(ZSTD(3)),
  clicks SimpleAggregateFunction(sum, Int64) COMMENT 'events of type click' CODEC(ZSTD(3)),
  duration_ms_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of duration_ms' CODEC(ZSTD(3)),
  duration_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a duration' CODEC(ZSTD(3)),
  pct_bp_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of engagement_pct_bp' CODEC(ZSTD(3)),
  pct_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a percentage' CODEC(ZSTD(3)),
  INDEX content_type_bloom content_type TYPE bloom_filter(0.01) GRANULARITY 4,
  INDEX content_id_bloom content_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine:AggregatingMergeTree}
PARTITION BY toYYYYMM(day)
ORDER BY (day, content_id, content_type, device)
SETTINGS {dedup}, allow_nullable_key = 1
COMMENT 'Storage of engagement_daily, which is the view to query';

-- ttl: engagement_daily_store toDateTime(day)

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_daily_feed{on_cluster}
TO {table:engagement_daily_store} AS
SELECT
  toDate(event_ts) AS day,
  content_id,
  content_type,
  device,
  sum(sign) AS events,
  sum(sign * (event_type = 'play')) AS plays,
  sum(sign * (event_type = 'pause')) AS pauses,
  sum(sign * (event_type = 'finish')) AS finishes,
  sum(sign * (event_type = 'click')) AS clicks,
  sum(sign * ifNull(duration_ms, 0)) AS duration_ms_sum,
  sum(sign * isNotNull(duration_ms)) AS duration_samples,
  sum(sign * ifNull(engagement_pct_bp, 0)) AS pct_bp_sum,
  sum(sign * isNotNull(engagement_pct_bp)) AS pct_samples
FROM {table:engagement_changes}
GROUP BY day, content_id, content_type, device;

{distributed:engagement_daily_store cityHash64(content_id)}

CREATE TABLE IF NOT EXISTS {table:engagement_weekly_store}{on_cluster} (
  week Date32 COMMENT 'Monday of the ISO week, UTC' CODEC(ZSTD(3)),
  content_id UUID COMMENT 'content' CODEC(ZSTD(3)),
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video' CODEC(ZSTD(3)),
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known' CODEC(ZSTD(3)),
  events SimpleAggregateFunction(sum, Int64) COMMENT 'events' CODEC(ZSTD(3)),
  plays SimpleAggregateFunction(sum, Int64) COMMENT 'events of type play' CODEC(ZSTD(3)),
  pauses SimpleAggregateFunction(sum, Int64) COMMENT 'events of type pause' CODEC(ZSTD(3)),
  finishes SimpleAggregateFunction(sum, Int64) COMMENT 'events of type finish' CODEC(ZSTD(3)),
  clicks SimpleAggregateFunction(sum, Int64) COMMENT 'events of type click' CODEC(ZSTD(3)),
  duration_ms_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of duration_ms' CODEC(ZSTD(3)),
  duration_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a duration' CODEC(ZSTD(3)),
  pct_bp_sum SimpleAggregateFunction(sum, Int64) COMMENT 'sum of engagement_pct_bp' CODEC(ZSTD(3)),
  pct_samples SimpleAggregateFunction(sum, Int64) COMMENT 'events with a percentage' CODEC(ZSTD(3)),
  INDEX content_type_bloom content_type TYPE bloom_filter(0.01) GRANULARITY 4,
  INDEX content_id_bloom content_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine:AggregatingMergeTree}
PARTITION BY toYYYYMM(week)
ORDER BY (week, content_id, content_type, device)
SETTINGS {dedup}, allow_nullable_key = 1
COMMENT 'Storage of engagement_weekly, which is the view to query';

-- ttl: engagement_weekly_store toDateTime(week)

CREATE MATERIALIZED VIEW IF NOT EXISTS engagement_weekly_feed{on_cluster}
TO {table:engagement_weekly_store} AS
SELECT
  -- Not toMonday: the week of 1970-01-01 begins before the first Date there is.
  toDate32(event_ts) - (toDayOfWeek(event_ts) - 1) AS week,
  content_id,
  content_type,
  device,
  sum(sign) AS events,
  sum(sign * (event_type = 'play')) AS plays,
  sum(sign * (event_type = 'pause')) AS pauses,
  sum(sign * (event_type = 'finish')) AS finishes,
  sum(sign * (event_type = 'click')) AS clicks,
  sum(sign * ifNull(duration_ms, 0)) AS duration_ms_sum,
  sum(sign * isNotNull(duration_ms)) AS duration_samples,
  sum(sign * ifNull(engagement_pct_bp, 0)) AS pct_bp_sum,
  sum(sign * isNotNull(engagement_pct_bp)) AS pct_samples
FROM {table:engagement_changes}
GROUP BY week, content_id, content_type, device;

{distributed:engagement_weekly_store cityHash64(content_id)}
