/** Stocks that are compared at a time, so that what is in memory has an end. */
import { STRAY, stockOf } from './key.ts';
import type { Scope } from './scope.ts';
import { type BarCounts, isOfDays, type Kind, type PricesSource } from './source.ts';
import type { Suspects } from './suspects.ts';

/** Bars of one group; one stock may have more. Their records take about half a gigabyte while they are compared. */
const BARS_AT_ONCE = 100_000;
/** And of one part of it, whose rows are in memory whole. */
const BARS_OF_PART = 20_000;

export interface Group {
  readonly stocks: readonly bigint[];
  /** Whether Postgres can have candles of this kind: without bars of minutes nobody needs to ask for those of hours. */
  readonly mayHave: (kind: Kind) => boolean;
  /** Whether a record of a topic is of this group. */
  readonly wants: (stockId: bigint) => boolean;
}

export interface Groups {
  readonly list: readonly Group[];
  /** The number of the group that a record is of, -1 for none. One of a stock without valid bars is of the first. */
  readonly groupOf: (stockId: bigint) => number;
}

/** How many stocks there are in all. */
export const stocksIn = (list: readonly Group[]): number => list.reduce((sum, { stocks }) => sum + stocks.length, 0);

type Stocks = ReadonlyMap<bigint, BarCounts>;

const EVERYTHING: Pick<Scope, 'stocks'> = { stocks: [] };

/** All stocks of the scope, or those of open suspects. */
export async function groupsOf(
  source: Pick<PricesSource, 'stocks'>,
  suspects: Iterable<Suspects> | null,
  { stocks: scoped } = EVERYTHING,
): Promise<Groups> {
  const bars = await source.stocks();
  // One that is asked for may have no valid bars, but something shown.
  if (suspects === null) return groups([...new Set([...bars.keys(), ...scoped])], bars, scoped.length === 0);
  const open = new Set([...suspects].flatMap(({ open }) => [...open].map(stockOf)));
  open.delete(STRAY);
  return open.size === 0 ? { list: [], groupOf: () => -1 } : groups([...open], bars, false);
}

/** Stocks of a group in still smaller parts. */
export function partsOf(stocks: readonly bigint[], bars: Stocks): readonly (readonly bigint[])[] {
  return divided(stocks, bars, BARS_OF_PART);
}

/** In the order of their ids, as tables are kept: neighbours are read together. */
function divided(of: readonly bigint[], bars: Stocks, most: number): readonly (readonly bigint[])[] {
  const parts: bigint[][] = [[]];
  let count = 0;
  for (const stock of [...of].sort((a, b) => (a < b ? -1 : 1))) {
    const more = bars.get(stock)?.bars ?? 0;
    if (count > 0 && count + more > most) {
      parts.push([]);
      count = 0;
    }
    parts.at(-1)!.push(stock);
    count += more;
  }
  return parts;
}

function groups(stocks: readonly bigint[], bars: Stocks, strays: boolean): Groups {
  const groups = divided(stocks, bars, BARS_AT_ONCE);
  const numbers = new Map(groups.flatMap((of, index) => of.map((stock): [bigint, number] => [stock, index])));
  const groupOf = (stock: bigint) => numbers.get(stock) ?? (strays ? 0 : -1);
  const list = groups.map((of, index) => {
    const hasMinutes = of.some((stock) => (bars.get(stock)?.minutes ?? 0) > 0);
    const mayHave = (kind: Kind) => hasMinutes || isOfDays(kind);
    return { stocks: of, mayHave, wants: (stock: bigint) => groupOf(stock) === index };
  });
  return { list, groupOf };
}
