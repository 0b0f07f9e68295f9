-- Whose newest close is above every high of the year before? Parameter: as_of (Date).
SELECT
  symbol,
  argMax(close, start) AS newest_close,
  maxOrNullIf(high, start < newest_start) AS high_before
FROM (
  SELECT symbol, stock_id, close, high, start, max(start) OVER (PARTITION BY stock_id) AS newest_start
  FROM prices_candles
  WHERE interval = '1d' AND start >= {as_of:Date} - 364 AND start < {as_of:Date} + 1
)
GROUP BY symbol
HAVING newest_close > high_before
ORDER BY symbol;
