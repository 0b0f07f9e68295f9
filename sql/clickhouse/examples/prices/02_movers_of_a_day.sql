-- Who rose and fell most on a day, against the close of the stock's trading day before? Parameter: day (Date), at the exchange.
SELECT
  symbol,
  any(close) AS today,
  any(previous) AS before,
  round((toFloat64(today) / toFloat64(before) - 1) * 100, 2) AS change_pct
FROM (
  SELECT
    c.symbol AS symbol,
    c.close AS close,
    toDate(toTimeZone(c.start + toIntervalHour(12), 'UTC')) AS day,
    lagInFrame(toNullable(c.close)) OVER (PARTITION BY c.stock_id ORDER BY c.start) AS previous
  FROM prices_candles AS c
  WHERE c.interval = '1d' AND c.start >= {day:Date} - 14 AND c.start < {day:Date} + 2
)
WHERE day = {day:Date} AND previous IS NOT NULL
GROUP BY symbol
ORDER BY change_pct DESC, symbol;
