/** Statements that write bars into Postgres, many rows at a time. */

/** Columns as arrays: stock ids, starts in ms, open, high, low, close as decimal text, volumes, sources. No two rows of one key. */
export const UPSERT_BARS = `INSERT INTO stock_prices AS p (stock_id, ts, open, high, low, close, volume, source)
  SELECT stock_id, timestamptz 'epoch' + start_ms * interval '1 millisecond', open, high, low, close, volume, source
  FROM unnest($1::int8[], $2::int8[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[], $7::int8[], $8::text[])
    AS b (stock_id, start_ms, open, high, low, close, volume, source)
  ON CONFLICT (stock_id, ts) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, source = excluded.source`;

/** What is there already is not written again: a load that was stopped goes on. */
export const LOAD_BARS = `${UPSERT_BARS}
  WHERE (p.open, p.high, p.low, p.close, p.volume, p.source)
    IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.source)`;

/** The partition of a month. */
export const MAKE_PARTITION = 'SELECT stock_prices_partition($1::date)';

/** Stocks that are not there yet, as arrays of their columns; others of the same symbols stay as they are. */
export const ADD_STOCKS = `INSERT INTO stocks (symbol, name, exchange, sector, industry, market_cap)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[])
  ON CONFLICT (symbol) DO NOTHING`;

export const STOCK_IDS = 'SELECT id, symbol FROM stocks WHERE symbol = ANY ($1::text[])';
