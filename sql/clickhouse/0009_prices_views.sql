-- What analysts query. Prices are decimals here: the stores hold them in millionths.

CREATE OR REPLACE VIEW prices_bars{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock',
  start DateTime64(3, 'UTC') COMMENT 'first instant',
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it',
  open Decimal(18, 6) COMMENT 'open of the first bar, by its time',
  high Decimal(18, 6) COMMENT 'highest price',
  low Decimal(18, 6) COMMENT 'lowest price',
  close Decimal(18, 6) COMMENT 'close of the last bar, by its time',
  volume Int64 COMMENT 'shares traded',
  vwap Nullable(Decimal(18, 6)) COMMENT 'volume-weighted average of (high + low + close) / 3 of the bars; NULL without volume',
  price_volume Int256 COMMENT 'sum of (high + low + close) * volume of the bars, in millionths: sum(price_volume) / sum(volume) / 3e6 is the VWAP of any span',
  source LowCardinality(Nullable(String)) COMMENT 'where it is from; daily or daily:... is a bar of a day, all others are bars of a minute',
  lsn UInt64 COMMENT 'LSN of the newest change that made it what it is',
  xid UInt64 COMMENT 'transaction of that change; 0 when not known',
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres',
  source_partition UInt16 COMMENT 'partition of prices.candles; joins sluice_freshness'
) AS
SELECT
  stock_id, symbol, start, end,
  reinterpret(open_e6, 'Decimal(18, 6)') AS open, reinterpret(high_e6, 'Decimal(18, 6)') AS high,
  reinterpret(low_e6, 'Decimal(18, 6)') AS low, reinterpret(close_e6, 'Decimal(18, 6)') AS close, volume,
  if(vwap_e6 IS NULL, NULL, reinterpret(assumeNotNull(vwap_e6), 'Decimal(18, 6)')) AS vwap, price_volume,
  source, lsn, xid, commit_ts, source_partition
FROM prices_bars_store FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Rows of stock_prices that are valid, as they are now';

CREATE OR REPLACE VIEW prices_candles{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock',
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w',
  start DateTime64(3, 'UTC') COMMENT 'first instant; days and weeks begin at midnight at the exchange',
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it',
  open Decimal(18, 6) COMMENT 'open of the first bar, by its time',
  high Decimal(18, 6) COMMENT 'highest price',
  low Decimal(18, 6) COMMENT 'lowest price',
  close Decimal(18, 6) COMMENT 'close of the last bar, by its time',
  volume Int64 COMMENT 'shares traded',
  vwap Nullable(Decimal(18, 6)) COMMENT 'volume-weighted average of (high + low + close) / 3 of the bars; NULL without volume',
  price_volume Int256 COMMENT 'sum of (high + low + close) * volume of the bars, in millionths: sum(price_volume) / sum(volume) / 3e6 is the VWAP of any span',
  bars UInt32 COMMENT 'number of bars it is made of',
  final Bool COMMENT 'no further bar is expected; one that still comes corrects the candle',
  source LowCardinality(Nullable(String)) COMMENT 'where the daily bar is from that a day is made of; else NULL',
  lsn UInt64 COMMENT 'LSN of the newest change that made it what it is',
  xid UInt64 COMMENT 'transaction of that change; 0 when not known',
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres',
  source_partition UInt16 COMMENT 'partition of prices.candles; joins sluice_freshness'
) AS
SELECT
  stock_id, symbol, interval, start, end,
  reinterpret(open_e6, 'Decimal(18, 6)') AS open, reinterpret(high_e6, 'Decimal(18, 6)') AS high,
  reinterpret(low_e6, 'Decimal(18, 6)') AS low, reinterpret(close_e6, 'Decimal(18, 6)') AS close, volume,
  if(vwap_e6 IS NULL, NULL, reinterpret(assumeNotNull(vwap_e6), 'Decimal(18, 6)')) AS vwap, price_volume,
  bars, final, source, lsn, xid, commit_ts, source_partition
FROM (
  SELECT * FROM prices_candles_minute_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
  UNION ALL
  SELECT * FROM prices_candles_hour_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
  UNION ALL
  SELECT * FROM prices_candles_day_store FINAL SETTINGS do_not_merge_across_partitions_select_final = 1
)
COMMENT 'Candles as they are now';

CREATE OR REPLACE VIEW prices_candle_versions{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol LowCardinality(String) COMMENT 'symbol of the stock; empty of a version that is gone',
  interval LowCardinality(String) COMMENT 'bar, 5m, 15m, 1h, 1d or 1w',
  start DateTime64(3, 'UTC') COMMENT 'first instant',
  gone Bool COMMENT 'the bar or candle is no longer there from here on; figures are 0',
  open Decimal(18, 6) COMMENT 'open of the first bar, by its time',
  high Decimal(18, 6) COMMENT 'highest price',
  low Decimal(18, 6) COMMENT 'lowest price',
  close Decimal(18, 6) COMMENT 'close of the last bar, by its time',
  volume Int64 COMMENT 'shares traded',
  vwap Nullable(Decimal(18, 6)) COMMENT 'volume-weighted average of (high + low + close) / 3 of the bars; NULL without volume',
  bars UInt32 COMMENT 'number of bars it is made of',
  final Bool COMMENT 'no further bar is expected',
  source LowCardinality(Nullable(String)) COMMENT 'where the bar is from',
  lsn UInt64 COMMENT 'LSN of the change; 0 when gone',
  xid UInt64 COMMENT 'transaction of the change; 0 when not known',
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres; 1970 when gone',
  source_partition UInt16 COMMENT 'partition of prices.candles',
  source_offset UInt64 COMMENT 'versions of a candle are in the order of their offsets',
  inserted_at DateTime64(3, 'UTC') COMMENT 'when it was written here'
) AS
SELECT
  stock_id, symbol, interval, start, CAST(is_deleted AS Bool) AS gone,
  reinterpret(open_e6, 'Decimal(18, 6)') AS open, reinterpret(high_e6, 'Decimal(18, 6)') AS high,
  reinterpret(low_e6, 'Decimal(18, 6)') AS low, reinterpret(close_e6, 'Decimal(18, 6)') AS close, volume,
  if(vwap_e6 IS NULL, NULL, reinterpret(assumeNotNull(vwap_e6), 'Decimal(18, 6)')) AS vwap,
  bars, final, source, lsn, xid, commit_ts, source_partition, source_offset, inserted_at
FROM prices_candles_log
WHERE interval != 'asof'
COMMENT 'History: every version that a bar or candle had';
