-- How far do people get? Median and 90th percentile of the percentage, by type of content. Percentiles need the rows:
-- they cannot be had from sums.
SELECT
  content_type,
  count() AS events,
  countIf(engagement_pct IS NOT NULL) AS samples,
  round(quantileExact(0.5)(engagement_pct), 1) AS median_pct,
  round(quantileExact(0.9)(engagement_pct), 1) AS p90_pct
FROM engagement_events
GROUP BY content_type
ORDER BY content_type;
