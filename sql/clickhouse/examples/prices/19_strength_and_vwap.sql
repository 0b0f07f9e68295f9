-- Overbought or oversold, and on which side of the day's average price (the VWAP is the candle's)? Parameter: day (Date), at the exchange.
SELECT i.symbol AS symbol, round(i.rsi_14, 1) AS rsi, i.close AS close, c.vwap AS vwap, if(i.close > c.vwap, 'above', 'below') AS side
FROM prices_indicators AS i
INNER JOIN prices_candles AS c ON c.stock_id = i.stock_id AND c.interval = i.interval AND c.start = i.start
WHERE i.interval = '1d' AND toDate(i.start + toIntervalHour(12)) = {day:Date} AND (i.rsi_14 > 70 OR i.rsi_14 < 30)
ORDER BY rsi DESC, symbol;
