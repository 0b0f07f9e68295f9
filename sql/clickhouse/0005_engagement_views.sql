-- What analysts query. Averages are NULL where there is no sample; buckets that have gone empty are not shown.

CREATE OR REPLACE VIEW engagement_hourly{on_cluster} (
  hour DateTime('UTC') COMMENT 'start of the hour, UTC',
  content_id UUID COMMENT 'content',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  s.hour AS hour,
  s.content_id AS content_id,
  s.content_type AS content_type,
  s.device AS device,
  sum(s.events) AS events,
  sum(s.plays) AS plays,
  sum(s.pauses) AS pauses,
  sum(s.finishes) AS finishes,
  sum(s.clicks) AS clicks,
  sum(s.duration_ms_sum) AS duration_ms_sum,
  sum(s.duration_samples) AS duration_samples,
  sum(s.pct_bp_sum) AS pct_bp_sum,
  sum(s.pct_samples) AS pct_samples,
  duration_ms_sum / 1000 AS engagement_seconds,
  if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
  if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
  if(plays = 0, NULL, finishes / plays) AS finish_rate
FROM engagement_hourly_store AS s
GROUP BY hour, content_id, content_type, device
HAVING events != 0
COMMENT 'Engagement by hour, content and device';

CREATE OR REPLACE VIEW engagement_daily{on_cluster} (
  day Date COMMENT 'day, UTC',
  content_id UUID COMMENT 'content',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  s.day AS day,
  s.content_id AS content_id,
  s.content_type AS content_type,
  s.device AS device,
  sum(s.events) AS events,
  sum(s.plays) AS plays,
  sum(s.pauses) AS pauses,
  sum(s.finishes) AS finishes,
  sum(s.clicks) AS clicks,
  sum(s.duration_ms_sum) AS duration_ms_sum,
  sum(s.duration_samples) AS duration_samples,
  sum(s.pct_bp_sum) AS pct_bp_sum,
  sum(s.pct_samples) AS pct_samples,
  duration_ms_sum / 1000 AS engagement_seconds,
  if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
  if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
  if(plays = 0, NULL, finishes / plays) AS finish_rate
FROM engagement_daily_store AS s
GROUP BY day, content_id, content_type, device
HAVING events != 0
COMMENT 'Engagement by day, content and device';

CREATE OR REPLACE VIEW engagement_weekly{on_cluster} (
  week Date32 COMMENT 'Monday of the ISO week, UTC',
  content_id UUID COMMENT 'content',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  s.week AS week,
  s.content_id AS content_id,
  s.content_type AS content_type,
  s.device AS device,
  sum(s.events) AS events,
  sum(s.plays) AS plays,
  sum(s.pauses) AS pauses,
  sum(s.finishes) AS finishes,
  sum(s.clicks) AS clicks,
  sum(s.duration_ms_sum) AS duration_ms_sum,
  sum(s.duration_samples) AS duration_samples,
  sum(s.pct_bp_sum) AS pct_bp_sum,
  sum(s.pct_samples) AS pct_samples,
  duration_ms_sum / 1000 AS engagement_seconds,
  if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
  if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
  if(plays = 0, NULL, finishes / plays) AS finish_rate
FROM engagement_weekly_store AS s
GROUP BY week, content_id, content_type, device
HAVING events != 0
COMMENT 'Engagement by week, content and device';

CREATE OR REPLACE VIEW content_performance{on_cluster} (
  day Date COMMENT 'day, UTC',
  content_id UUID COMMENT 'content',
  content_slug String COMMENT 'newest slug',
  content_title String COMMENT 'newest title',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  f.day AS day,
  f.content_id AS content_id,
  c.content_slug AS content_slug,
  c.content_title AS content_title,
  f.content_type AS content_type,
  f.events AS events,
  f.plays AS plays,
  f.pauses AS pauses,
  f.finishes AS finishes,
  f.clicks AS clicks,
  f.duration_ms_sum AS duration_ms_sum,
  f.duration_samples AS duration_samples,
  f.pct_bp_sum AS pct_bp_sum,
  f.pct_samples AS pct_samples,
  f.engagement_seconds AS engagement_seconds,
  f.avg_engagement_seconds AS avg_engagement_seconds,
  f.avg_engagement_pct AS avg_engagement_pct,
  f.finish_rate AS finish_rate
FROM (
  SELECT
    s.day AS day,
    s.content_id AS content_id,
    s.content_type AS content_type,
    sum(s.events) AS events,
    sum(s.plays) AS plays,
    sum(s.pauses) AS pauses,
    sum(s.finishes) AS finishes,
    sum(s.clicks) AS clicks,
    sum(s.duration_ms_sum) AS duration_ms_sum,
    sum(s.duration_samples) AS duration_samples,
    sum(s.pct_bp_sum) AS pct_bp_sum,
    sum(s.pct_samples) AS pct_samples,
    duration_ms_sum / 1000 AS engagement_seconds,
    if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
    if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
    if(plays = 0, NULL, finishes / plays) AS finish_rate
  FROM engagement_daily_store AS s
  GROUP BY day, content_id, content_type
  HAVING events != 0
) AS f
LEFT JOIN engagement_content AS c ON c.content_id = f.content_id
COMMENT 'How each content does, by day, with its newest name';

CREATE OR REPLACE VIEW device_breakdown{on_cluster} (
  day Date COMMENT 'day, UTC',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  device LowCardinality(Nullable(String)) COMMENT 'device; NULL when not known',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  s.day AS day,
  s.content_type AS content_type,
  s.device AS device,
  sum(s.events) AS events,
  sum(s.plays) AS plays,
  sum(s.pauses) AS pauses,
  sum(s.finishes) AS finishes,
  sum(s.clicks) AS clicks,
  sum(s.duration_ms_sum) AS duration_ms_sum,
  sum(s.duration_samples) AS duration_samples,
  sum(s.pct_bp_sum) AS pct_bp_sum,
  sum(s.pct_samples) AS pct_samples,
  duration_ms_sum / 1000 AS engagement_seconds,
  if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
  if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
  if(plays = 0, NULL, finishes / plays) AS finish_rate
FROM engagement_daily_store AS s
GROUP BY day, content_type, device
HAVING events != 0
COMMENT 'Engagement by day, type of content and device';

CREATE OR REPLACE VIEW finish_rate{on_cluster} (
  week Date32 COMMENT 'Monday of the ISO week, UTC',
  content_type LowCardinality(String) COMMENT 'podcast, newsletter or video',
  events Int64 COMMENT 'events',
  plays Int64 COMMENT 'events of type play',
  pauses Int64 COMMENT 'events of type pause',
  finishes Int64 COMMENT 'events of type finish',
  clicks Int64 COMMENT 'events of type click',
  duration_ms_sum Int64 COMMENT 'sum of duration_ms',
  duration_samples Int64 COMMENT 'events with a duration',
  pct_bp_sum Int64 COMMENT 'sum of engagement_pct_bp',
  pct_samples Int64 COMMENT 'events with a percentage',
  engagement_seconds Float64 COMMENT 'sum of durations in seconds',
  avg_engagement_seconds Nullable(Float64) COMMENT 'mean duration of the events that have one',
  avg_engagement_pct Nullable(Float64) COMMENT 'mean percentage of the events that have one',
  finish_rate Nullable(Float64) COMMENT 'finishes / plays'
) AS
SELECT
  s.week AS week,
  s.content_type AS content_type,
  sum(s.events) AS events,
  sum(s.plays) AS plays,
  sum(s.pauses) AS pauses,
  sum(s.finishes) AS finishes,
  sum(s.clicks) AS clicks,
  sum(s.duration_ms_sum) AS duration_ms_sum,
  sum(s.duration_samples) AS duration_samples,
  sum(s.pct_bp_sum) AS pct_bp_sum,
  sum(s.pct_samples) AS pct_samples,
  duration_ms_sum / 1000 AS engagement_seconds,
  if(duration_samples = 0, NULL, duration_ms_sum / duration_samples / 1000) AS avg_engagement_seconds,
  if(pct_samples = 0, NULL, pct_bp_sum / pct_samples / 100) AS avg_engagement_pct,
  if(plays = 0, NULL, finishes / plays) AS finish_rate
FROM engagement_weekly_store AS s
GROUP BY week, content_type
HAVING events != 0
COMMENT 'How much of what is played is finished, by week and type of content';
