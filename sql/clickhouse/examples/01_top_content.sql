-- Which ten contents held people longest in a period?
-- Parameters: from and to (Date, to not included).
SELECT
  content_title,
  content_type,
  sum(plays) AS plays,
  sum(duration_ms_sum) / 1000 AS engagement_seconds,
  -- Averages of averages are wrong; sums over samples are right at any grain.
  round(if(sum(pct_samples) = 0, NULL, sum(pct_bp_sum) / sum(pct_samples) / 100), 2) AS avg_engagement_pct
FROM content_performance
WHERE day >= {from:Date} AND day < {to:Date}
GROUP BY content_id, content_title, content_type
ORDER BY engagement_seconds DESC, content_title
LIMIT 10;
