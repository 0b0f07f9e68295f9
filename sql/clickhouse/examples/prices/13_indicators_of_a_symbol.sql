-- A chart with its indicators. Parameters: symbol (String), interval (String), from, to (Date; to is not included), UTC. NULL: not enough history.
SELECT start, close, sma_20, bollinger_lower, bollinger_upper, rsi_14, macd_histogram, signals
FROM prices_indicators
WHERE symbol = {symbol:String} AND interval = {interval:String} AND start >= {from:Date} AND start < {to:Date}
ORDER BY start;
