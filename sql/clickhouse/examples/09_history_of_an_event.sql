-- What happened to one event, and why does it count as it does? The signed log, oldest first.
-- Parameter: event (Int64).
SELECT
  kind,
  sign,
  event_type,
  duration_ms,
  content_title,
  commit_ts
FROM engagement_changes
WHERE event_id = {event:Int64}
ORDER BY source_partition, generation, source_offset, sign;
