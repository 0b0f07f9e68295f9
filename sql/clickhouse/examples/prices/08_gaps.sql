-- Which hours lack bars? An hour of trading that is over has 60 bars of a minute. Parameter: symbol (String).
SELECT symbol, start, bars, 60 - bars AS missing
FROM prices_candles
WHERE symbol = {symbol:String} AND interval = '1h' AND final AND bars < 60
ORDER BY start;
