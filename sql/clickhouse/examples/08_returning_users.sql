-- Of the users of each day, how many had been there on an earlier one?
SELECT
  day,
  count() AS users,
  countIf(day > first_day) AS returning
FROM (
  SELECT DISTINCT user_id, toDate(event_ts) AS day
  FROM engagement_events
) AS seen
INNER JOIN (
  SELECT user_id, min(toDate(event_ts)) AS first_day
  FROM engagement_events
  GROUP BY user_id
) AS firsts USING (user_id)
GROUP BY day
ORDER BY day;
