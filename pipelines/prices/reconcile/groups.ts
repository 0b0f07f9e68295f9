/** Stocks that are compared at a time, so that what is in memory has an end. */
import { stockOf } from './key.ts';
import { type BarCounts, isOfDays, type Kind, type PricesSource } from './source.ts';
import type { Suspects } from './suspects.ts';

/** Bars of one group; one stock may have more. Their records take about half a gigabyte while they are compared. */
const BARS_AT_ONCE = 100_000;

export interface Group {
  readonly stocks: readonly bigint[];
  /** Whether Postgres can have candles of this kind: without bars of minutes nobody needs to ask for those of hours. */
  readonly mayHave: (kind: Kind) => boolean;
  /** Whether a record of a topic is of this group. */
  readonly wants: (stockId: bigint) => boolean;
}

const NONE: BarCounts = { bars: 0, minutes: 0 };

export interface Groups {
  readonly list: readonly Group[];
  /** The number of the group that a record is of, -1 for none. One of a stock without valid bars is of the first. */
  readonly groupOf: (stockId: bigint) => number;
}

/** All stocks, or those of open suspects. */
export async function groupsOf(source: PricesSource, suspects: Iterable<Suspects> | null): Promise<Groups> {
  const bars = await source.stocks();
  if (suspects !== null) {
    const open = new Set([...suspects].flatMap(({ open }) => [...open].map(stockOf)));
    const counted = [...open].map((stock) => [stock, bars.get(stock) ?? NONE] as const);
    return open.size === 0 ? { list: [], groupOf: () => -1 } : groups(counted, false);
  }
  return groups([...bars], true);
}

function groups(stocks: readonly (readonly [bigint, BarCounts])[], strays: boolean): Groups {
  const groups: bigint[][] = [[]];
  let count = 0;
  for (const [stock, { bars }] of stocks) {
    if (count > 0 && count + bars > BARS_AT_ONCE) {
      groups.push([]);
      count = 0;
    }
    groups.at(-1)!.push(stock);
    count += bars;
  }
  const numbers = new Map(groups.flatMap((of, index) => of.map((stock): [bigint, number] => [stock, index])));
  const groupOf = (stock: bigint) => numbers.get(stock) ?? (strays ? 0 : -1);
  const counts = new Map(stocks);
  const list = groups.map((of, index) => {
    const hasMinutes = of.some((stock) => counts.get(stock)!.minutes > 0);
    const mayHave = (kind: Kind) => hasMinutes || isOfDays(kind);
    return { stocks: of, mayHave, wants: (stock: bigint) => groupOf(stock) === index };
  });
  return { list, groupOf };
}
