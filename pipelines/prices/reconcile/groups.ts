/** Stocks that are compared at a time, so that what is in memory has an end. */
import { stockOf } from './key.ts';
import type { PricesSource } from './source.ts';
import type { Suspects } from './suspects.ts';

/** Bars of one group; one stock may have more. */
const BARS_AT_ONCE = 200_000;

export interface Group {
  readonly stocks: readonly bigint[];
  /** Whether a record of a topic is of this group. One of a stock without valid bars is of the first. */
  readonly wants: (stockId: bigint) => boolean;
}

/** All stocks, or those of open suspects. */
export async function groupsOf(source: PricesSource, suspects: Iterable<Suspects> | null): Promise<readonly Group[]> {
  const bars = await source.stocks();
  if (suspects !== null) {
    const open = new Set([...suspects].flatMap(({ open }) => [...open].map(stockOf)));
    return open.size === 0
      ? []
      : groups(
          [...open].map((stock) => [stock, bars.get(stock) ?? 0]),
          false,
        );
  }
  return groups([...bars], true);
}

function groups(stocks: readonly (readonly [bigint, number])[], strays: boolean): readonly Group[] {
  const groups: bigint[][] = [[]];
  let count = 0;
  for (const [stock, bars] of stocks) {
    if (count > 0 && count + bars > BARS_AT_ONCE) {
      groups.push([]);
      count = 0;
    }
    groups.at(-1)!.push(stock);
    count += bars;
  }
  const groupOf = new Map(groups.flatMap((of, index) => of.map((stock): [bigint, number] => [stock, index])));
  return groups.map((of, index) => ({
    stocks: of,
    wants: (stock) => (groupOf.get(stock) ?? (strays ? 0 : -1)) === index,
  }));
}
