-- When do people play? Weekday (1 is Monday) by hour, UTC.
-- Parameters: from and to (DateTime, to not included).
SELECT
  toDayOfWeek(hour) AS weekday,
  toHour(hour) AS hour_of_day,
  sum(plays) AS plays
FROM engagement_hourly
WHERE hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')}
GROUP BY weekday, hour_of_day
HAVING plays > 0
ORDER BY weekday, hour_of_day;
