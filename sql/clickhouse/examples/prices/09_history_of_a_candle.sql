-- What happened to one candle, oldest first? Parameters: stock (Int64), interval (String), start (DateTime).
SELECT gone, close, volume, bars, final, lsn, commit_ts
FROM prices_candle_versions
WHERE stock_id = {stock:Int64} AND interval = {interval:String} AND start = {start:DateTime}
ORDER BY source_partition, source_offset;
