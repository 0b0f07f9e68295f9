-- Which candles were corrected after they had been final, and how often?
SELECT
  stock_id,
  interval,
  start,
  count() - 1 AS corrections
FROM prices_candle_versions
WHERE interval != 'bar' AND (final OR gone)
GROUP BY stock_id, interval, start
HAVING corrections > 0
ORDER BY stock_id, interval, start;
