-- The volume-weighted average price of any span: never an average of averages. Parameters: symbol (String), from, to (DateTime; to is not included).
SELECT
  count() AS candles,
  sum(volume) AS shares,
  if(shares = 0, NULL, round(toFloat64(sum(price_volume)) / toFloat64(shares) / 3e6, 6)) AS span_vwap
FROM prices_candles
WHERE symbol = {symbol:String} AND interval = '1h' AND start >= {from:DateTime} AND start < {to:DateTime};
