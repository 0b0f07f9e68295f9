-- As of when are the figures, and of which position in Postgres? The oldest partition decides.
SELECT
  pipeline,
  count() AS partitions,
  min(stream_time) AS as_of,
  min(lsn) AS as_of_lsn,
  sum(next_offset) AS records_read
FROM sluice_freshness
GROUP BY pipeline
ORDER BY pipeline;
