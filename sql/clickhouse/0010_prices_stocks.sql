-- The stocks, as Postgres has them: what bars and candles are joined with. As with candles, the newest offset of a stock counts.

CREATE TABLE IF NOT EXISTS {table:prices_stocks_log}{on_cluster} (
  is_deleted UInt8 COMMENT '1: the stock is no longer there' CODEC(ZSTD(3)),
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(ZSTD(3)),
  symbol String COMMENT 'what it is called on the exchange; never changes' CODEC(ZSTD(3)),
  name String COMMENT 'name of the company' CODEC(ZSTD(3)),
  exchange LowCardinality(String) COMMENT 'where it is traded; decides the time zone of its days; never changes' CODEC(ZSTD(3)),
  sector LowCardinality(Nullable(String)) COMMENT 'sector; NULL when not known' CODEC(ZSTD(3)),
  industry LowCardinality(Nullable(String)) COMMENT 'industry; NULL when not known' CODEC(ZSTD(3)),
  market_cap Nullable(Int64) COMMENT 'market capitalisation; NULL when not known' CODEC(ZSTD(3)),
  active Bool COMMENT 'whether it is still traded' CODEC(ZSTD(3)),
  lsn UInt64 COMMENT 'LSN of the change in Postgres; 0 when not known' CODEC(Delta, ZSTD(3)),
  commit_ts DateTime64(3, 'UTC') COMMENT 'when it was committed in Postgres' CODEC(Delta, ZSTD(3)),
  source_partition UInt16 COMMENT 'partition of cdc.public.stocks' CODEC(ZSTD(3)),
  source_offset UInt64 COMMENT 'offset in the partition' CODEC(Delta, ZSTD(3)),
  generation UInt32 COMMENT 'which reading of the topic wrote the row' CODEC(ZSTD(3)),
  write_before DateTime('UTC') COMMENT 'the lease of the writer: a block that arrives later is refused' CODEC(ZSTD(3)),
  inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row was written here' CODEC(Delta, ZSTD(3)),
  CONSTRAINT write_lease CHECK write_before >= now(),
  CONSTRAINT generation_fits CHECK generation < 65536
)
ENGINE = {engine:MergeTree}
ORDER BY (source_partition, source_offset, is_deleted)
SETTINGS {dedup}
COMMENT 'Versions of the stocks';

{distributed:prices_stocks_log cityHash64(stock_id)}

CREATE TABLE IF NOT EXISTS {table:prices_stocks_store}{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres' CODEC(ZSTD(3)),
  symbol String COMMENT 'what it is called on the exchange' CODEC(ZSTD(3)),
  name String COMMENT 'name of the company' CODEC(ZSTD(3)),
  exchange LowCardinality(String) COMMENT 'where it is traded' CODEC(ZSTD(3)),
  sector LowCardinality(Nullable(String)) COMMENT 'sector; NULL when not known' CODEC(ZSTD(3)),
  industry LowCardinality(Nullable(String)) COMMENT 'industry; NULL when not known' CODEC(ZSTD(3)),
  market_cap Nullable(Int64) COMMENT 'market capitalisation; NULL when not known' CODEC(ZSTD(3)),
  active Bool COMMENT 'whether it is still traded' CODEC(ZSTD(3)),
  version UInt64 COMMENT 'offset in the topic' CODEC(ZSTD(3)),
  is_deleted UInt8 COMMENT '1: the stock is no longer there' CODEC(ZSTD(3))
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY stock_id
SETTINGS {dedup}
COMMENT 'Storage of prices_stocks, which is the view to query';

CREATE MATERIALIZED VIEW IF NOT EXISTS prices_stocks_feed{on_cluster}
TO {table:prices_stocks_store} AS
SELECT stock_id, symbol, name, exchange, sector, industry, market_cap, active, source_offset AS version, is_deleted
FROM {table:prices_stocks_log};

{distributed:prices_stocks_store cityHash64(stock_id)}

CREATE OR REPLACE VIEW prices_stocks{on_cluster} (
  stock_id Int64 COMMENT 'primary key of the stock in Postgres',
  symbol String COMMENT 'what it is called on the exchange; never changes',
  name String COMMENT 'name of the company',
  exchange LowCardinality(String) COMMENT 'where it is traded; decides the time zone of its days; never changes',
  sector LowCardinality(Nullable(String)) COMMENT 'sector; NULL when not known',
  industry LowCardinality(Nullable(String)) COMMENT 'industry; NULL when not known',
  market_cap Nullable(Int64) COMMENT 'market capitalisation; NULL when not known',
  active Bool COMMENT 'whether it is still traded'
) AS
SELECT stock_id, symbol, name, exchange, sector, industry, market_cap, active
FROM prices_stocks_store FINAL
COMMENT 'Stocks as they are now';
