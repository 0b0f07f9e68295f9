-- When is a stock traded? Share of the volume by hour of the day. Parameters: symbol, zone (String; the zone of its exchange).
SELECT
  toHour(toTimeZone(start, {zone:String})) AS hour,
  sum(volume) AS shares,
  round(100 * shares / sum(shares) OVER (), 1) AS share_pct
FROM prices_candles
WHERE symbol = {symbol:String} AND interval = '1h'
GROUP BY hour
ORDER BY hour;
