-- Plays per ISO week, and the change against the week before, by type of content.
SELECT
  content_type,
  week,
  plays,
  lagInFrame(toNullable(plays)) OVER (PARTITION BY content_type ORDER BY week ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS plays_before,
  round(100 * (plays - plays_before) / nullIf(plays_before, 0), 1) AS change_pct
FROM (
  SELECT content_type, week, sum(plays) AS plays
  FROM engagement_weekly
  GROUP BY content_type, week
)
ORDER BY content_type, week;
