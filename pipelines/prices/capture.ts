/** What the prices pipeline asks of capture. */
import type { CapturedTable } from '../../connectors/debezium/config.ts';

export const STOCKS_TABLE = { name: 'public.stocks' } as const satisfies CapturedTable;

/** Everything about one stock is in one partition. */
export const PRICES_TABLE = {
  name: 'public.stock_prices',
  key: ['stock_id', 'ts'],
  routeBy: 'stock_id',
} as const satisfies CapturedTable;

/** A bar refers to its stock: a snapshot reads stocks first. */
export const PRICES_TABLES: readonly CapturedTable[] = [STOCKS_TABLE, PRICES_TABLE];
