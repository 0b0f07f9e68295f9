-- Indicators of candles. As with candles, the log has one row for each record of the topic, values are absolute, and the greatest offset of a
-- key counts: all versions of a key are in one partition, so a later offset is a later version, in every reading of the topic.
--
-- A row carries the prices of the candle that it was computed from: nobody has to join it with a candle that has moved on since.

CREATE TABLE IF NOT EXISTS {table:prices_indicators_log}{on_cluster} (
  is_deleted UInt8 COMMENT '1: a tombstone, only the key is known' CODEC(ZSTD(3)),
  kind Enum8('candle' = 1, 'behind' = 2, 'asof' = 3) COMMENT 'candle: indicators of one; behind: from start on those of the series are from before a correction, until its tombstone; asof: a stamp, everything committed before lsn is in front of it' CODEC(ZSTD(3)),
  stock_id Int64 COMMENT 'primary key of the stock in Postgres; of a stamp -1 - partition' CODEC(ZSTD(3)),
  symbol LowCardinality(String) COMMENT 'symbol of the stock' CODEC(ZSTD(3)),
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w; empty of a stamp' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'first instant of the candle; of what is behind, the first that may be wrong' CODEC(DoubleDelta, ZSTD(3)),
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it' CODEC(DoubleDelta, ZSTD(3)),
  open_e6 Int64 COMMENT 'open of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  high_e6 Int64 COMMENT 'high of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  low_e6 Int64 COMMENT 'low of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  close_e6 Int64 COMMENT 'close of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  volume Int64 COMMENT 'shares traded' CODEC(T64, ZSTD(3)),
  final Bool COMMENT 'no further bar is expected' CODEC(ZSTD(3)),
  sma_20 Nullable(Float64) COMMENT 'mean of the last 20 closes; NULL without enough history' CODEC(ZSTD(3)),
  sma_50 Nullable(Float64) COMMENT 'mean of the last 50 closes; NULL without enough history' CODEC(ZSTD(3)),
  sma_200 Nullable(Float64) COMMENT 'mean of the last 200 closes; NULL without enough history' CODEC(ZSTD(3)),
  ema_12 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 13; NULL without enough history' CODEC(ZSTD(3)),
  ema_26 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 27; NULL without enough history' CODEC(ZSTD(3)),
  rsi_14 Nullable(Float64) COMMENT 'relative strength index of Wilder over 14 changes, 0 to 100; NULL without enough history' CODEC(ZSTD(3)),
  macd Nullable(Float64) COMMENT 'ema_12 - ema_26; NULL without enough history' CODEC(ZSTD(3)),
  macd_signal Nullable(Float64) COMMENT 'exponential mean of macd, weight 2 / 10; NULL without enough history' CODEC(ZSTD(3)),
  macd_histogram Nullable(Float64) COMMENT 'macd - macd_signal; NULL without enough history' CODEC(ZSTD(3)),
  bollinger_upper Nullable(Float64) COMMENT 'sma_20 plus two standard deviations; NULL without enough history' CODEC(ZSTD(3)),
  bollinger_lower Nullable(Float64) COMMENT 'sma_20 minus two standard deviations; NULL without enough history' CODEC(ZSTD(3)),
  atr_14 Nullable(Float64) COMMENT 'average true range of Wilder over 14 candles; NULL without enough history' CODEC(ZSTD(3)),
  obv Int64 COMMENT 'on-balance volume, 0 at the first candle' CODEC(Delta, ZSTD(3)),
  volume_ratio Nullable(Float64) COMMENT 'volume / mean volume of the 20 candles before; NULL without enough history' CODEC(ZSTD(3)),
  signals Array(LowCardinality(String)) COMMENT 'what holds of the candle, sorted' CODEC(ZSTD(3)),
  previous_close_e6 Nullable(Int64) COMMENT 'close of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  previous_high_e6 Nullable(Int64) COMMENT 'high of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  previous_low_e6 Nullable(Int64) COMMENT 'low of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  high_20d_e6 Nullable(Int64) COMMENT 'highest high of the 20 days before (4 weeks for 1w); only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  low_20d_e6 Nullable(Int64) COMMENT 'lowest low of the 20 days before (4 weeks for 1w); only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  high_52w_e6 Nullable(Int64) COMMENT 'highest high of the 52 weeks before; only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  low_52w_e6 Nullable(Int64) COMMENT 'lowest low of the 52 weeks before; only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  lsn UInt64 COMMENT 'of a stamp: LSN of the clock; else 0' CODEC(ZSTD(3)),
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so; 1970 of a tombstone' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.indicators' CODEC(ZSTD(3)),
  source_offset UInt64 COMMENT 'offset in the partition' CODEC(DoubleDelta, ZSTD(3)),
  generation UInt32 COMMENT 'which reading of the topic wrote the row' CODEC(ZSTD(3)),
  write_before DateTime('UTC') COMMENT 'the lease of the writer: a block that arrives later is refused' CODEC(ZSTD(3)),
  inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row was written here' CODEC(Delta, ZSTD(3)),
  INDEX stock_id_bloom stock_id TYPE bloom_filter(0.01) GRANULARITY 4,
  CONSTRAINT write_lease CHECK write_before >= now(),
  CONSTRAINT generation_fits CHECK generation < 65536
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(as_of)
ORDER BY (source_partition, source_offset, is_deleted)
SETTINGS {dedup}
COMMENT 'Versions of indicators, what was behind, and as-of stamps';

-- ttl: prices_indicators_log toDateTime(inserted_at)

{distributed:prices_indicators_log cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_indicators_minute_store}{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(Delta, ZSTD(3)),
  symbol LowCardinality(String) COMMENT 'symbol of the stock' CODEC(ZSTD(3)),
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'first instant of the candle' CODEC(DoubleDelta, ZSTD(3)),
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it' CODEC(DoubleDelta, ZSTD(3)),
  open_e6 Int64 COMMENT 'open of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  high_e6 Int64 COMMENT 'high of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  low_e6 Int64 COMMENT 'low of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  close_e6 Int64 COMMENT 'close of the candle, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  volume Int64 COMMENT 'shares traded' CODEC(T64, ZSTD(3)),
  final Bool COMMENT 'no further bar is expected' CODEC(ZSTD(3)),
  sma_20 Nullable(Float64) COMMENT 'mean of the last 20 closes; NULL without enough history' CODEC(FPC, ZSTD(3)),
  sma_50 Nullable(Float64) COMMENT 'mean of the last 50 closes; NULL without enough history' CODEC(FPC, ZSTD(3)),
  sma_200 Nullable(Float64) COMMENT 'mean of the last 200 closes; NULL without enough history' CODEC(FPC, ZSTD(3)),
  ema_12 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 13; NULL without enough history' CODEC(FPC, ZSTD(3)),
  ema_26 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 27; NULL without enough history' CODEC(FPC, ZSTD(3)),
  rsi_14 Nullable(Float64) COMMENT 'relative strength index of Wilder over 14 changes, 0 to 100; NULL without enough history' CODEC(FPC, ZSTD(3)),
  macd Nullable(Float64) COMMENT 'ema_12 - ema_26; NULL without enough history' CODEC(FPC, ZSTD(3)),
  macd_signal Nullable(Float64) COMMENT 'exponential mean of macd, weight 2 / 10; NULL without enough history' CODEC(FPC, ZSTD(3)),
  macd_histogram Nullable(Float64) COMMENT 'macd - macd_signal; NULL without enough history' CODEC(FPC, ZSTD(3)),
  bollinger_upper Nullable(Float64) COMMENT 'sma_20 plus two standard deviations; NULL without enough history' CODEC(FPC, ZSTD(3)),
  bollinger_lower Nullable(Float64) COMMENT 'sma_20 minus two standard deviations; NULL without enough history' CODEC(FPC, ZSTD(3)),
  atr_14 Nullable(Float64) COMMENT 'average true range of Wilder over 14 candles; NULL without enough history' CODEC(FPC, ZSTD(3)),
  obv Int64 COMMENT 'on-balance volume, 0 at the first candle' CODEC(Delta, ZSTD(3)),
  volume_ratio Nullable(Float64) COMMENT 'volume / mean volume of the 20 candles before; NULL without enough history' CODEC(FPC, ZSTD(3)),
  signals Array(LowCardinality(String)) COMMENT 'what holds of the candle, sorted' CODEC(ZSTD(3)),
  previous_close_e6 Nullable(Int64) COMMENT 'close of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  previous_high_e6 Nullable(Int64) COMMENT 'high of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  previous_low_e6 Nullable(Int64) COMMENT 'low of the candle before, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  high_20d_e6 Nullable(Int64) COMMENT 'highest high of the 20 days before (4 weeks for 1w); only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  low_20d_e6 Nullable(Int64) COMMENT 'lowest low of the 20 days before (4 weeks for 1w); only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  high_52w_e6 Nullable(Int64) COMMENT 'highest high of the 52 weeks before; only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  low_52w_e6 Nullable(Int64) COMMENT 'lowest low of the 52 weeks before; only 1d and 1w, in millionths; NULL without it' CODEC(Delta, ZSTD(3)),
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.indicators' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'offset in the partition' CODEC(Delta, ZSTD(3)),
  is_deleted UInt8 COMMENT '1: the row is no longer there' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_indicators, which is the view to query';

-- ttl: prices_indicators_minute_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_indicators_minute_feed{on_cluster}
TO {table:prices_indicators_minute_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, final, sma_20, sma_50, sma_200, ema_12, ema_26,
  rsi_14, macd, macd_signal, macd_histogram, bollinger_upper, bollinger_lower, atr_14, obv, volume_ratio, signals, previous_close_e6,
  previous_high_e6, previous_low_e6, high_20d_e6, low_20d_e6, high_52w_e6, low_52w_e6, as_of, source_partition, source_offset AS version,
  is_deleted
FROM {table:prices_indicators_log}
WHERE kind = 'candle' AND interval IN ('5m', '15m');

{distributed:prices_indicators_minute_store cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_indicators_hour_store}{on_cluster}
AS {table:prices_indicators_minute_store}
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_indicators, which is the view to query';

-- ttl: prices_indicators_hour_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_indicators_hour_feed{on_cluster}
TO {table:prices_indicators_hour_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, final, sma_20, sma_50, sma_200, ema_12, ema_26,
  rsi_14, macd, macd_signal, macd_histogram, bollinger_upper, bollinger_lower, atr_14, obv, volume_ratio, signals, previous_close_e6,
  previous_high_e6, previous_low_e6, high_20d_e6, low_20d_e6, high_52w_e6, low_52w_e6, as_of, source_partition, source_offset AS version,
  is_deleted
FROM {table:prices_indicators_log}
WHERE kind = 'candle' AND interval = '1h';

{distributed:prices_indicators_hour_store cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_indicators_day_store}{on_cluster}
AS {table:prices_indicators_minute_store}
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYear(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_indicators, which is the view to query';

-- ttl: prices_indicators_day_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_indicators_day_feed{on_cluster}
TO {table:prices_indicators_day_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, final, sma_20, sma_50, sma_200, ema_12, ema_26,
  rsi_14, macd, macd_signal, macd_histogram, bollinger_upper, bollinger_lower, atr_14, obv, volume_ratio, signals, previous_close_e6,
  previous_high_e6, previous_low_e6, high_20d_e6, low_20d_e6, high_52w_e6, low_52w_e6, as_of, source_partition, source_offset AS version,
  is_deleted
FROM {table:prices_indicators_log}
WHERE kind = 'candle' AND interval IN ('1d', '1w');

{distributed:prices_indicators_day_store cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_indicators_behind_store}{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(ZSTD(3)),
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'start of the first candle that may be wrong' CODEC(ZSTD(3)),
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so' CODEC(ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.indicators' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'offset in the partition' CODEC(ZSTD(3)),
  is_deleted UInt8 COMMENT '1: behind no more' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY (stock_id, interval)
SETTINGS {dedup}
COMMENT 'Storage of prices_indicators_behind, which is the view to query';

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_indicators_behind_feed{on_cluster}
TO {table:prices_indicators_behind_store} AS
SELECT stock_id, interval, start, as_of, source_partition, source_offset AS version, is_deleted
FROM {table:prices_indicators_log}
WHERE kind = 'behind';

{distributed:prices_indicators_behind_store cityHash64(stock_id)}

-- What analysts query. Prices are decimals here.

CREATE OR REPLACE VIEW prices_indicators{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock',
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w',
  start DateTime64(3, 'UTC') COMMENT 'first instant of the candle; days and weeks begin at midnight at the exchange',
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it',
  open Decimal(18, 6) COMMENT 'open of the candle',
  high Decimal(18, 6) COMMENT 'high of the candle',
  low Decimal(18, 6) COMMENT 'low of the candle',
  close Decimal(18, 6) COMMENT 'close of the candle',
  volume Int64 COMMENT 'shares traded',
  final Bool COMMENT 'no further bar is expected; one that still comes corrects the row',
  sma_20 Nullable(Float64) COMMENT 'mean of the last 20 closes; NULL without enough history',
  sma_50 Nullable(Float64) COMMENT 'mean of the last 50 closes; NULL without enough history',
  sma_200 Nullable(Float64) COMMENT 'mean of the last 200 closes; NULL without enough history',
  ema_12 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 13; NULL without enough history',
  ema_26 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 27; NULL without enough history',
  rsi_14 Nullable(Float64) COMMENT 'relative strength index of Wilder over 14 changes, 0 to 100; NULL without enough history',
  macd Nullable(Float64) COMMENT 'ema_12 - ema_26; NULL without enough history',
  macd_signal Nullable(Float64) COMMENT 'exponential mean of macd, weight 2 / 10; NULL without enough history',
  macd_histogram Nullable(Float64) COMMENT 'macd - macd_signal; NULL without enough history',
  bollinger_upper Nullable(Float64) COMMENT 'sma_20 plus two standard deviations; NULL without enough history',
  bollinger_lower Nullable(Float64) COMMENT 'sma_20 minus two standard deviations; NULL without enough history',
  atr_14 Nullable(Float64) COMMENT 'average true range of Wilder over 14 candles; NULL without enough history',
  obv Int64 COMMENT 'on-balance volume, 0 at the first candle: volume is added where the close rises, taken off where it falls',
  volume_ratio Nullable(Float64) COMMENT 'volume / mean volume of the 20 candles before; NULL without enough history',
  signals Array(LowCardinality(String)) COMMENT 'what holds of the candle, sorted: rsi_overbought, rsi_oversold, macd_cross_up|down, golden_cross, death_cross, bollinger_break_up|down, unusual_volume',
  previous_close Nullable(Decimal(18, 6)) COMMENT 'close of the candle before; NULL without it',
  previous_high Nullable(Decimal(18, 6)) COMMENT 'high of the candle before; NULL without it',
  previous_low Nullable(Decimal(18, 6)) COMMENT 'low of the candle before; NULL without it',
  high_20d Nullable(Decimal(18, 6)) COMMENT 'highest high of the 20 days before (4 weeks for 1w); only 1d and 1w; NULL without it',
  low_20d Nullable(Decimal(18, 6)) COMMENT 'lowest low of the 20 days before (4 weeks for 1w); only 1d and 1w; NULL without it',
  high_52w Nullable(Decimal(18, 6)) COMMENT 'highest high of the 52 weeks before; only 1d and 1w; NULL without it',
  low_52w Nullable(Decimal(18, 6)) COMMENT 'lowest low of the 52 weeks before; only 1d and 1w; NULL without it',
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so',
  source_partition UInt16 COMMENT 'partition of prices.indicators; joins sluice_freshness'
) AS
SELECT
  stock_id, symbol, interval, start, end,
  reinterpret(open_e6, 'Decimal(18, 6)') AS open, reinterpret(high_e6, 'Decimal(18, 6)') AS high,
  reinterpret(low_e6, 'Decimal(18, 6)') AS low, reinterpret(close_e6, 'Decimal(18, 6)') AS close, volume, final,
  sma_20, sma_50, sma_200, ema_12, ema_26, rsi_14, macd, macd_signal, macd_histogram, bollinger_upper, bollinger_lower, atr_14, obv,
  volume_ratio, signals,
  if(previous_close_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_close_e6), 'Decimal(18, 6)')) AS previous_close,
  if(previous_high_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_high_e6), 'Decimal(18, 6)')) AS previous_high,
  if(previous_low_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_low_e6), 'Decimal(18, 6)')) AS previous_low,
  if(high_20d_e6 IS NULL, NULL, reinterpret(assumeNotNull(high_20d_e6), 'Decimal(18, 6)')) AS high_20d,
  if(low_20d_e6 IS NULL, NULL, reinterpret(assumeNotNull(low_20d_e6), 'Decimal(18, 6)')) AS low_20d,
  if(high_52w_e6 IS NULL, NULL, reinterpret(assumeNotNull(high_52w_e6), 'Decimal(18, 6)')) AS high_52w,
  if(low_52w_e6 IS NULL, NULL, reinterpret(assumeNotNull(low_52w_e6), 'Decimal(18, 6)')) AS low_52w,
  as_of, source_partition
FROM (
  SELECT * FROM prices_indicators_minute_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
  UNION ALL
  SELECT * FROM prices_indicators_hour_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
  UNION ALL
  SELECT * FROM prices_indicators_day_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
)
COMMENT 'Candles with their indicators, as they are now';

CREATE OR REPLACE VIEW prices_indicator_versions{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock; empty when gone',
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w',
  start DateTime64(3, 'UTC') COMMENT 'first instant of the candle; days and weeks begin at midnight at the exchange',
  gone Bool COMMENT 'the candle is no longer there from here on; figures are 0 and NULL',
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it',
  open Decimal(18, 6) COMMENT 'open of the candle',
  high Decimal(18, 6) COMMENT 'high of the candle',
  low Decimal(18, 6) COMMENT 'low of the candle',
  close Decimal(18, 6) COMMENT 'close of the candle',
  volume Int64 COMMENT 'shares traded',
  final Bool COMMENT 'no further bar is expected; one that still comes corrects the row',
  sma_20 Nullable(Float64) COMMENT 'mean of the last 20 closes; NULL without enough history',
  sma_50 Nullable(Float64) COMMENT 'mean of the last 50 closes; NULL without enough history',
  sma_200 Nullable(Float64) COMMENT 'mean of the last 200 closes; NULL without enough history',
  ema_12 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 13; NULL without enough history',
  ema_26 Nullable(Float64) COMMENT 'exponential mean of the closes, weight 2 / 27; NULL without enough history',
  rsi_14 Nullable(Float64) COMMENT 'relative strength index of Wilder over 14 changes, 0 to 100; NULL without enough history',
  macd Nullable(Float64) COMMENT 'ema_12 - ema_26; NULL without enough history',
  macd_signal Nullable(Float64) COMMENT 'exponential mean of macd, weight 2 / 10; NULL without enough history',
  macd_histogram Nullable(Float64) COMMENT 'macd - macd_signal; NULL without enough history',
  bollinger_upper Nullable(Float64) COMMENT 'sma_20 plus two standard deviations; NULL without enough history',
  bollinger_lower Nullable(Float64) COMMENT 'sma_20 minus two standard deviations; NULL without enough history',
  atr_14 Nullable(Float64) COMMENT 'average true range of Wilder over 14 candles; NULL without enough history',
  obv Int64 COMMENT 'on-balance volume, 0 at the first candle: volume is added where the close rises, taken off where it falls',
  volume_ratio Nullable(Float64) COMMENT 'volume / mean volume of the 20 candles before; NULL without enough history',
  signals Array(LowCardinality(String)) COMMENT 'what holds of the candle, sorted: rsi_overbought, rsi_oversold, macd_cross_up|down, golden_cross, death_cross, bollinger_break_up|down, unusual_volume',
  previous_close Nullable(Decimal(18, 6)) COMMENT 'close of the candle before; NULL without it',
  previous_high Nullable(Decimal(18, 6)) COMMENT 'high of the candle before; NULL without it',
  previous_low Nullable(Decimal(18, 6)) COMMENT 'low of the candle before; NULL without it',
  high_20d Nullable(Decimal(18, 6)) COMMENT 'highest high of the 20 days before (4 weeks for 1w); only 1d and 1w; NULL without it',
  low_20d Nullable(Decimal(18, 6)) COMMENT 'lowest low of the 20 days before (4 weeks for 1w); only 1d and 1w; NULL without it',
  high_52w Nullable(Decimal(18, 6)) COMMENT 'highest high of the 52 weeks before; only 1d and 1w; NULL without it',
  low_52w Nullable(Decimal(18, 6)) COMMENT 'lowest low of the 52 weeks before; only 1d and 1w; NULL without it',
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so; 1970 when gone',
  source_partition UInt16 COMMENT 'partition of prices.indicators',
  source_offset UInt64 COMMENT 'versions of a candle are in the order of their offsets',
  inserted_at DateTime64(3, 'UTC') COMMENT 'when it was written here'
) AS
SELECT
  stock_id, symbol, interval, start, CAST(is_deleted AS Bool) AS gone, end,
  reinterpret(open_e6, 'Decimal(18, 6)') AS open, reinterpret(high_e6, 'Decimal(18, 6)') AS high,
  reinterpret(low_e6, 'Decimal(18, 6)') AS low, reinterpret(close_e6, 'Decimal(18, 6)') AS close, volume, final,
  sma_20, sma_50, sma_200, ema_12, ema_26, rsi_14, macd, macd_signal, macd_histogram, bollinger_upper, bollinger_lower, atr_14, obv,
  volume_ratio, signals,
  if(previous_close_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_close_e6), 'Decimal(18, 6)')) AS previous_close,
  if(previous_high_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_high_e6), 'Decimal(18, 6)')) AS previous_high,
  if(previous_low_e6 IS NULL, NULL, reinterpret(assumeNotNull(previous_low_e6), 'Decimal(18, 6)')) AS previous_low,
  if(high_20d_e6 IS NULL, NULL, reinterpret(assumeNotNull(high_20d_e6), 'Decimal(18, 6)')) AS high_20d,
  if(low_20d_e6 IS NULL, NULL, reinterpret(assumeNotNull(low_20d_e6), 'Decimal(18, 6)')) AS low_20d,
  if(high_52w_e6 IS NULL, NULL, reinterpret(assumeNotNull(high_52w_e6), 'Decimal(18, 6)')) AS high_52w,
  if(low_52w_e6 IS NULL, NULL, reinterpret(assumeNotNull(low_52w_e6), 'Decimal(18, 6)')) AS low_52w,
  as_of, source_partition, source_offset, inserted_at
FROM prices_indicators_log
WHERE kind = 'candle'
COMMENT 'History: every version that the indicators of a candle had';

CREATE OR REPLACE VIEW prices_indicators_behind{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol String COMMENT 'symbol of the stock; empty when the stock is not known here',
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w',
  from DateTime64(3, 'UTC') COMMENT 'candles that start here or later may still have the indicators from before the correction',
  as_of DateTime64(3, 'UTC') COMMENT 'stream time when it became so',
  source_partition UInt16 COMMENT 'partition of prices.indicators; joins sluice_freshness, which stands still meanwhile'
) AS
SELECT b.stock_id, s.symbol, b.interval, b.start AS from, b.as_of, b.source_partition
FROM (SELECT * FROM prices_indicators_behind_store FINAL) AS b
LEFT JOIN prices_stocks AS s ON s.stock_id = b.stock_id
COMMENT 'Series whose indicators are being computed again after a correction in the past; empty when all are right';

-- What the scanner ranks, for any day and week. The arithmetic is that of the boards: exact, rounded half up once.

CREATE OR REPLACE VIEW prices_movers{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock',
  exchange LowCardinality(String) COMMENT 'where it is traded',
  sector LowCardinality(Nullable(String)) COMMENT 'sector; NULL when not known',
  interval LowCardinality(String) COMMENT '1d or 1w',
  day Date COMMENT 'the day, or the Monday of the week, at the exchange',
  start DateTime64(3, 'UTC') COMMENT 'its first instant: midnight at the exchange',
  final Bool COMMENT 'no further bar is expected',
  high Decimal(18, 6) COMMENT 'high of the day or week',
  low Decimal(18, 6) COMMENT 'low of the day or week',
  close Decimal(18, 6) COMMENT 'close of the day or week',
  volume Int64 COMMENT 'shares traded: most active',
  change_bp Nullable(Int64) COMMENT 'close against the close before, basis points: gainers above 0, losers below; NULL at the first candle',
  volume_ratio Nullable(Float64) COMMENT 'volume / mean volume of the 20 candles before; from 2 on it is unusual',
  unusual_volume Bool COMMENT 'volume_ratio is 2 or more',
  new_high_20d Bool COMMENT 'high above every high of the 20 days before (4 weeks for 1w)',
  new_low_20d Bool COMMENT 'low below every low of the 20 days before (4 weeks for 1w)',
  new_high_52w Bool COMMENT 'high above every high of the 52 weeks before',
  new_low_52w Bool COMMENT 'low below every low of the 52 weeks before',
  pivot Nullable(Decimal(18, 6)) COMMENT 'floor pivots: (high + low + close) / 3 of the candle before; NULL at the first candle',
  resistance_1 Nullable(Decimal(18, 6)) COMMENT 'floor pivots: 2 * pivot - low before; NULL at the first candle',
  support_1 Nullable(Decimal(18, 6)) COMMENT 'floor pivots: 2 * pivot - high before; NULL at the first candle',
  resistance_2 Nullable(Decimal(18, 6)) COMMENT 'floor pivots: pivot + high - low before; NULL at the first candle',
  support_2 Nullable(Decimal(18, 6)) COMMENT 'floor pivots: pivot - high + low before; NULL at the first candle',
  source_partition UInt16 COMMENT 'partition of prices.indicators; joins sluice_freshness'
) AS
SELECT
  i.stock_id, i.symbol, s.exchange, s.sector, i.interval, toDate(i.start + toIntervalHour(12)) AS day,
  i.start, i.final,
  reinterpret(i.high_e6, 'Decimal(18, 6)') AS high, reinterpret(i.low_e6, 'Decimal(18, 6)') AS low,
  reinterpret(i.close_e6, 'Decimal(18, 6)') AS close, i.volume,
  i.change_bp, i.volume_ratio, ifNull(i.volume_ratio >= 2, false) AS unusual_volume,
  ifNull(i.high_e6 > i.high_20d_e6, false) AS new_high_20d, ifNull(i.low_e6 < i.low_20d_e6, false) AS new_low_20d,
  ifNull(i.high_e6 > i.high_52w_e6, false) AS new_high_52w, ifNull(i.low_e6 < i.low_52w_e6, false) AS new_low_52w,
  if(pivot_e6 IS NULL, NULL, reinterpret(assumeNotNull(pivot_e6), 'Decimal(18, 6)')) AS pivot,
  if(resistance_1_e6 IS NULL, NULL, reinterpret(assumeNotNull(resistance_1_e6), 'Decimal(18, 6)')) AS resistance_1,
  if(support_1_e6 IS NULL, NULL, reinterpret(assumeNotNull(support_1_e6), 'Decimal(18, 6)')) AS support_1,
  if(resistance_2_e6 IS NULL, NULL, reinterpret(assumeNotNull(resistance_2_e6), 'Decimal(18, 6)')) AS resistance_2,
  if(support_2_e6 IS NULL, NULL, reinterpret(assumeNotNull(support_2_e6), 'Decimal(18, 6)')) AS support_2,
  i.source_partition
FROM (
  WITH
    (a, b) -> toInt64(intDiv(2 * a + b - positiveModulo(2 * a + b, 2 * b), 2 * b)) AS half_up,
    toInt128(previous_high_e6) + previous_low_e6 + previous_close_e6 AS three_pivots,
    toInt128(previous_high_e6) - previous_low_e6 AS range_e6
  SELECT
    *,
    half_up((toInt128(close_e6) - previous_close_e6) * 10000, previous_close_e6) AS change_bp,
    half_up(three_pivots, 3) AS pivot_e6,
    half_up(2 * three_pivots - 3 * previous_low_e6, 3) AS resistance_1_e6,
    half_up(2 * three_pivots - 3 * previous_high_e6, 3) AS support_1_e6,
    half_up(three_pivots + 3 * range_e6, 3) AS resistance_2_e6,
    half_up(three_pivots - 3 * range_e6, 3) AS support_2_e6
  FROM prices_indicators_day_store FINAL
  SETTINGS do_not_merge_across_partitions_select_final = 1
) AS i
LEFT JOIN prices_stocks AS s ON s.stock_id = i.stock_id
COMMENT 'Days and weeks of stocks as the scanner ranks them, with support and resistance';
