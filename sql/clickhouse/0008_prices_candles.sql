-- Bars and candles. The log has one row for each version, in the order of the topic; everything else is fed from here. Values are
-- absolute: the newest version of a key counts, and a version written twice changes nothing.
--
-- Versions are offsets of the topic: all versions of a key are in one partition, so a later offset is a later version, in every
-- reading of the topic. A month of commits is a partition: a batch is one part or two, whatever time its bars are of.

CREATE TABLE IF NOT EXISTS {table:prices_candles_log}{on_cluster} (
  is_deleted UInt8 COMMENT '1: a tombstone, the candle is no longer there; only its key is known' CODEC(ZSTD(3)),
  stock_id Int64 COMMENT 'primary key of the stock in Postgres; of a stamp -1 - partition' CODEC(ZSTD(3)),
  symbol LowCardinality(String) COMMENT 'symbol of the stock' CODEC(ZSTD(3)),
  interval LowCardinality(String) COMMENT 'bar (a row of the source), 5m, 15m, 1h, 1d or 1w; asof is a stamp: everything committed before lsn is in front of it, stream time is commit_ts' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'first instant' CODEC(DoubleDelta, ZSTD(3)),
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it' CODEC(DoubleDelta, ZSTD(3)),
  open_e6 Int64 COMMENT 'open of the first bar, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  high_e6 Int64 COMMENT 'highest price, in millionths' CODEC(Delta, ZSTD(3)),
  low_e6 Int64 COMMENT 'lowest price, in millionths' CODEC(Delta, ZSTD(3)),
  close_e6 Int64 COMMENT 'close of the last bar, in millionths' CODEC(Delta, ZSTD(3)),
  volume Int64 COMMENT 'shares traded' CODEC(T64, ZSTD(3)),
  price_volume Int256 COMMENT 'sum of (high_e6 + low_e6 + close_e6) * volume of the bars' CODEC(ZSTD(3)),
  vwap_e6 Nullable(Int64) COMMENT 'volume-weighted average price, in millionths, rounded half up; NULL without volume' CODEC(Delta, ZSTD(3)),
  bars UInt32 COMMENT 'number of bars it is made of' CODEC(T64, ZSTD(3)),
  final Bool COMMENT 'stream time has passed the end and the allowed lateness' CODEC(ZSTD(3)),
  source LowCardinality(Nullable(String)) COMMENT 'where the bar is from; of a candle only for a day made of a daily bar' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the newest change that made it what it is' CODEC(Delta, ZSTD(3)),
  xid UInt64 COMMENT 'transaction of that change; 0 when not known' CODEC(Delta, ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.candles' CODEC(ZSTD(3)),
  source_offset UInt64 COMMENT 'offset in the partition' CODEC(DoubleDelta, ZSTD(3)),
  generation UInt32 COMMENT 'which reading of the topic wrote the row' CODEC(ZSTD(3)),
  write_before DateTime('UTC') COMMENT 'the lease of the writer: a block that arrives later is refused' CODEC(ZSTD(3)),
  inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row was written here' CODEC(Delta, ZSTD(3)),
  INDEX stock_id_bloom stock_id TYPE bloom_filter(0.01) GRANULARITY 4,
  -- A writer that slept through its lease may hold a range which others have written since: the server refuses it.
  CONSTRAINT write_lease CHECK write_before >= now(),
  CONSTRAINT generation_fits CHECK generation < 65536
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(commit_ts)
ORDER BY (source_partition, source_offset, is_deleted)
SETTINGS {dedup}
COMMENT 'Versions of bars and candles, and as-of stamps';

-- By time of insertion: how far back the history of corrections goes. What was forgotten is written again by a replay.
-- ttl: prices_candles_log toDateTime(inserted_at)

{distributed:prices_candles_log cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_bars_store}{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(Delta, ZSTD(3)),
  symbol LowCardinality(String) COMMENT 'symbol of the stock' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'first instant' CODEC(DoubleDelta, ZSTD(3)),
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it' CODEC(DoubleDelta, ZSTD(3)),
  open_e6 Int64 COMMENT 'open of the first bar, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  high_e6 Int64 COMMENT 'highest price, in millionths' CODEC(Delta, ZSTD(3)),
  low_e6 Int64 COMMENT 'lowest price, in millionths' CODEC(Delta, ZSTD(3)),
  close_e6 Int64 COMMENT 'close of the last bar, in millionths' CODEC(Delta, ZSTD(3)),
  volume Int64 COMMENT 'shares traded' CODEC(T64, ZSTD(3)),
  price_volume Int256 COMMENT 'sum of (high_e6 + low_e6 + close_e6) * volume of the bars' CODEC(ZSTD(3)),
  vwap_e6 Nullable(Int64) COMMENT 'volume-weighted average price, in millionths, rounded half up; NULL without volume' CODEC(Delta, ZSTD(3)),
  bars UInt32 COMMENT 'number of bars it is made of' CODEC(T64, ZSTD(3)),
  final Bool COMMENT 'stream time has passed the end and the allowed lateness' CODEC(ZSTD(3)),
  source LowCardinality(Nullable(String)) COMMENT 'where the bar is from; of a candle only for a day made of a daily bar' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the newest change that made it what it is' CODEC(Delta, ZSTD(3)),
  xid UInt64 COMMENT 'transaction of that change; 0 when not known' CODEC(Delta, ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.candles' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'offset in the partition' CODEC(Delta, ZSTD(3)),
  is_deleted UInt8 COMMENT '1: the row is no longer there' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(start)
ORDER BY (stock_id, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_bars, which is the view to query';

-- Bars of a day are kept five years longer than those of a minute: a bar may change from one to the other, so they share a table.
-- ttl: prices_bars_store toDateTime(start) + if(dateDiff('hour', start, end) > 1, toIntervalYear(5), toIntervalYear(0))

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_bars_feed{on_cluster}
TO {table:prices_bars_store} AS
SELECT
  stock_id, symbol, start, end, open_e6, high_e6, low_e6, close_e6, volume, price_volume, vwap_e6, bars, final, source, lsn, xid,
  commit_ts, source_partition, source_offset AS version, is_deleted
FROM {table:prices_candles_log}
WHERE interval = 'bar';

{distributed:prices_bars_store cityHash64(stock_id)}

-- One table for each grain, since each is kept for a time of its own.

CREATE TABLE IF NOT EXISTS {table:prices_candles_minute_store}{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(Delta, ZSTD(3)),
  symbol LowCardinality(String) COMMENT 'symbol of the stock' CODEC(ZSTD(3)),
  interval LowCardinality(String) COMMENT '5m, 15m, 1h, 1d or 1w' CODEC(ZSTD(3)),
  start DateTime64(3, 'UTC') COMMENT 'first instant' CODEC(DoubleDelta, ZSTD(3)),
  end DateTime64(3, 'UTC') COMMENT 'first instant behind it' CODEC(DoubleDelta, ZSTD(3)),
  open_e6 Int64 COMMENT 'open of the first bar, in millionths of the unit' CODEC(Delta, ZSTD(3)),
  high_e6 Int64 COMMENT 'highest price, in millionths' CODEC(Delta, ZSTD(3)),
  low_e6 Int64 COMMENT 'lowest price, in millionths' CODEC(Delta, ZSTD(3)),
  close_e6 Int64 COMMENT 'close of the last bar, in millionths' CODEC(Delta, ZSTD(3)),
  volume Int64 COMMENT 'shares traded' CODEC(T64, ZSTD(3)),
  price_volume Int256 COMMENT 'sum of (high_e6 + low_e6 + close_e6) * volume of the bars' CODEC(ZSTD(3)),
  vwap_e6 Nullable(Int64) COMMENT 'volume-weighted average price, in millionths, rounded half up; NULL without volume' CODEC(Delta, ZSTD(3)),
  bars UInt32 COMMENT 'number of bars it is made of' CODEC(T64, ZSTD(3)),
  final Bool COMMENT 'stream time has passed the end and the allowed lateness' CODEC(ZSTD(3)),
  source LowCardinality(Nullable(String)) COMMENT 'where the daily bar is from that a day is made of; NULL when it is made of bars of minutes' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the newest change that made it what it is' CODEC(Delta, ZSTD(3)),
  xid UInt64 COMMENT 'transaction of that change; 0 when not known' CODEC(Delta, ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of prices.candles' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'offset in the partition' CODEC(Delta, ZSTD(3)),
  is_deleted UInt8 COMMENT '1: the row is no longer there' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_candles, which is the view to query';

-- ttl: prices_candles_minute_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_candles_minute_feed{on_cluster}
TO {table:prices_candles_minute_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, price_volume, vwap_e6, bars, final, source, lsn, xid,
  commit_ts, source_partition, source_offset AS version, is_deleted
FROM {table:prices_candles_log}
WHERE interval IN ('5m', '15m');

{distributed:prices_candles_minute_store cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_candles_hour_store}{on_cluster}
AS {table:prices_candles_minute_store}
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYYYYMM(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_candles, which is the view to query';

-- ttl: prices_candles_hour_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_candles_hour_feed{on_cluster}
TO {table:prices_candles_hour_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, price_volume, vwap_e6, bars, final, source, lsn, xid,
  commit_ts, source_partition, source_offset AS version, is_deleted
FROM {table:prices_candles_log}
WHERE interval = '1h';

{distributed:prices_candles_hour_store cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_candles_day_store}{on_cluster}
AS {table:prices_candles_minute_store}
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
PARTITION BY toYear(start)
ORDER BY (stock_id, interval, start)
SETTINGS {dedup}
COMMENT 'Storage of prices_candles, which is the view to query';

-- ttl: prices_candles_day_store toDateTime(start)

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_candles_day_feed{on_cluster}
TO {table:prices_candles_day_store} AS
SELECT
  stock_id, symbol, interval, start, end, open_e6, high_e6, low_e6, close_e6, volume, price_volume, vwap_e6, bars, final, source, lsn, xid,
  commit_ts, source_partition, source_offset AS version, is_deleted
FROM {table:prices_candles_log}
WHERE interval IN ('1d', '1w');

{distributed:prices_candles_day_store cityHash64(stock_id)}
