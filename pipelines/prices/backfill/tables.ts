/** The tables of the prices pipeline that can be read again. */
import type { BackfillTable } from '../../operations/backfill/condition.ts';
import { PRICES_TABLE, STOCKS_TABLE } from '../capture.ts';

const STOCKS: BackfillTable = {
  name: STOCKS_TABLE.name,
  order: [],
  chunkBy: 'id',
  time: null,
  group: null,
  id: null,
  columns: ['id', 'symbol', 'name', 'exchange', 'sector', 'industry', 'market_cap', 'active'],
  first: [],
};

const PRICES: BackfillTable = {
  name: PRICES_TABLE.name,
  order: PRICES_TABLE.key,
  // The record key is the primary key. One column of it alone is not unique: rows that share it would be lost between two chunks.
  chunkBy: null,
  time: 'ts',
  group: { column: 'stock_id', type: 'bigint', called: 'stock' },
  id: null,
  columns: ['stock_id', 'ts', 'open', 'high', 'low', 'close', 'volume', 'source'],
  // A bar counts only where its stock is known, and whoever missed the one may have missed the other.
  first: [STOCKS],
};

export const PRICES_BACKFILL: Readonly<Record<'stock_prices' | 'stocks', BackfillTable>> = {
  stock_prices: PRICES,
  stocks: STOCKS,
};
