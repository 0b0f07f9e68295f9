-- What was shown of a candle, oldest first? Parameters: stock (Int64), interval (String), start (DateTime).
SELECT gone, close, rsi_14, signals, final, as_of
FROM prices_indicator_versions
WHERE stock_id = {stock:Int64} AND interval = {interval:String} AND start = {start:DateTime}
ORDER BY source_partition, source_offset;
