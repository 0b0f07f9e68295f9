-- How much was traded in each sector, week by week?
SELECT
  toDate(c.start + toIntervalHour(12)) AS week,
  ifNull(s.sector, '?') AS sector,
  uniqExact(c.stock_id) AS stocks,
  sum(c.volume) AS shares,
  round(toFloat64(sum(c.price_volume)) / 3e6, 2) AS turnover
FROM prices_candles AS c
INNER JOIN prices_stocks AS s ON s.stock_id = c.stock_id
WHERE c.interval = '1w'
GROUP BY week, sector
ORDER BY week, turnover DESC;
