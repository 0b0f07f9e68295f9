-- Which indicators are from before a correction that is still being computed, and as of when is their partition right?
SELECT b.symbol AS symbol, b.interval AS interval, b.from AS from, f.stream_time AS right_as_of
FROM prices_indicators_behind AS b
LEFT JOIN sluice_freshness AS f
  ON f.topic = 'prices.indicators' AND f.partition = b.source_partition
ORDER BY symbol, interval;
