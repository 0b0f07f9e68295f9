-- How does engagement develop, day by day and type of content?
-- Parameters: from and to (Date, to not included).
SELECT
  day,
  content_type,
  sum(events) AS events,
  sum(plays) AS plays,
  sum(duration_ms_sum) / 1000 AS engagement_seconds
FROM engagement_daily
WHERE day >= {from:Date} AND day < {to:Date}
GROUP BY day, content_type
ORDER BY day, content_type;
