-- Where did the money go? Turnover is volume times the average price, exact from the sums. Parameters: from, to (Date; to is not included).
SELECT
  symbol,
  sum(volume) AS shares,
  round(toFloat64(sum(price_volume)) / 3e6, 2) AS turnover
FROM prices_candles
WHERE interval = '1d' AND start >= {from:Date} AND start < {to:Date}
GROUP BY symbol
ORDER BY turnover DESC
LIMIT 20;
