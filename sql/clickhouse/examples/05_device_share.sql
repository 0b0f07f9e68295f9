-- On what do people listen, read and watch? Share of events and of engaged time by device; NULL is "not known".
-- Parameters: from and to (Date, to not included).
SELECT
  device,
  device_events AS events,
  round(100 * device_events / sum(device_events) OVER (), 1) AS events_pct,
  round(100 * device_ms / sum(device_ms) OVER (), 1) AS time_pct
FROM (
  SELECT device, sum(events) AS device_events, sum(duration_ms_sum) AS device_ms
  FROM device_breakdown
  WHERE day >= {from:Date} AND day < {to:Date}
  GROUP BY device
)
ORDER BY device_events DESC, device NULLS LAST;
