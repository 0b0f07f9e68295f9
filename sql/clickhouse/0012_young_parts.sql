-- What is inserted stays one file of data until merges have made more of it. With the server's own limit of 10 MiB a batch of a sink that
-- is behind becomes two or more files for each column, in two tables: making them costs more than the rows do.

ALTER TABLE {table:engagement_changes}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:engagement_events_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_candles_log}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_bars_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_candles_minute_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_candles_hour_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_candles_day_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_indicators_log}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_indicators_minute_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_indicators_hour_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_indicators_day_store}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE {table:prices_stocks_log}{on_cluster} MODIFY SETTING min_bytes_for_wide_part = 67108864;
