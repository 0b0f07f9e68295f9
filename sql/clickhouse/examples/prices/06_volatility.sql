-- How much does a stock move? Standard deviation of the daily logarithmic returns of a period, in percent. Parameters: from, to (Date).
SELECT
  symbol,
  count() AS returns,
  round(stddevSamp(log_return) * 100, 3) AS daily_volatility_pct
FROM (
  SELECT
    symbol,
    log(toFloat64(close) / toFloat64(lagInFrame(toNullable(close)) OVER (PARTITION BY stock_id ORDER BY start))) AS log_return
  FROM prices_candles
  WHERE interval = '1d' AND start >= {from:Date} AND start < {to:Date}
)
WHERE log_return IS NOT NULL
GROUP BY symbol
HAVING returns > 1
ORDER BY daily_volatility_pct DESC;
