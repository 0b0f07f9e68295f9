/** The stocks that history is loaded for. */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { ADD_STOCKS, STOCK_IDS } from '../bars-sql.ts';
import type { Listing } from '../traffic/listings.ts';
import type { KnownStock } from './rows.ts';

/** All, by symbol. */
export async function knownStocks(sql: Sql): Promise<ReadonlyMap<string, KnownStock>> {
  const { rows } = await sql.query<KnownStock & { readonly symbol: string }>('SELECT id, symbol, exchange FROM stocks');
  return new Map(rows.map(({ symbol, id, exchange }) => [symbol, { id, exchange }]));
}

/** Adds those that are not there yet. Returns the ids, in the order of the listings. */
export async function addStocks(sql: Sql, listings: readonly Listing[]): Promise<readonly bigint[]> {
  const symbols = listings.map(({ symbol }) => symbol);
  await sql.query(ADD_STOCKS, [
    symbols,
    listings.map(({ name }) => name),
    listings.map(({ exchange }) => exchange),
    listings.map(({ sector }) => sector),
    listings.map(({ industry }) => industry),
    listings.map(({ marketCap }) => marketCap),
  ]);
  const { rows } = await sql.query<{ id: bigint; symbol: string }>(STOCK_IDS, [symbols]);
  const ids = new Map(rows.map(({ id, symbol }) => [symbol, id]));
  return symbols.map((symbol) => ids.get(symbol)!);
}
