/**
 * A source whose rows are sorted by stock, a stretch at a time: what follows from several bars of one stock in one transaction (its week, its newest
 * price, the pages of its series) is written once instead of once a day. Not further than a stretch: a chunk over years would be of as many months, and
 * every sink keeps months apart.
 */
import type { HistoryRow } from './rows.ts';
import type { HistoryChunk, HistorySource } from './source.ts';

/** A month of 4,000 stocks, about. */
const STRETCH_ROWS = 100_000;

/** The same rows, those of one stock in the order in which they came. */
export function byStock(source: HistorySource, stretchRows = STRETCH_ROWS): HistorySource {
  return async function* (size) {
    const chunks = Math.max(1, Math.floor(stretchRows / size));
    for await (const stretch of source(size * chunks)) yield* cut(stretch, size);
  };
}

/** What is no row of a chunk (rejected lines, and those that a later one of the same day has replaced) is told with the last one. */
function* cut({ read, rows, rejects }: HistoryChunk, size: number): Generator<HistoryChunk> {
  const sorted = sortedByStock(rows);
  let told = 0;
  for (let at = 0; at + size < sorted.length; at += size) {
    told += size;
    yield { read: size, rows: sorted.slice(at, at + size), rejects: [] };
  }
  yield { read: read - told, rows: sorted.slice(told), rejects };
}

function sortedByStock(rows: readonly HistoryRow[]): readonly HistoryRow[] {
  const byStock = new Map<bigint, HistoryRow[]>();
  for (const row of rows) {
    const known = byStock.get(row.stockId);
    if (known === undefined) byStock.set(row.stockId, [row]);
    else known.push(row);
  }
  return [...byStock.values()].flat();
}
