-- How did a stock go? Parameters: symbol (String), interval (String), from, to (Date; to is not included), UTC.
SELECT start, open, high, low, close, volume, vwap, final
FROM prices_candles
WHERE symbol = {symbol:String} AND interval = {interval:String} AND start >= {from:Date} AND start < {to:Date}
ORDER BY start;
