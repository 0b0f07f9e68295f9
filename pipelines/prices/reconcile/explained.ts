/**
 * Which bars a letter explains, and what takes their place in everything that is computed of bars.
 *
 * A letter that shows the very state that Postgres holds says that the pipeline has none of it: it is computed as if the row were not there. One whose
 * bytes do not say the state, or that was to take the row off, leaves in the pipeline whatever was there before: it is computed with the bar
 * that ClickHouse shows.
 */

import { startOf, stockOf } from './key.ts';
import type { BarLetter, BarState, PriceLetters } from './letters.ts';
import type { Override, PricesSource } from './source.ts';

export interface Explained {
  readonly overrides: readonly Override[];
  /** By `stock micros`. */
  readonly explained: readonly { readonly key: string; readonly reason: string }[];
}

type Bars = ReadonlyMap<string, BarState>;
type Wanted = readonly { readonly stockId: bigint; readonly micros: number }[];

/** `shownBars`: what ClickHouse shows, as of the snapshot or later. */
export async function explainedBars(
  { bars }: PriceLetters,
  source: Pick<PricesSource, 'bars'>,
  shownBars: (bars: Wanted) => Promise<Bars>,
): Promise<Explained> {
  if (bars.size === 0) return { overrides: [], explained: [] };
  const wanted = [...bars.keys()].map((key) => ({ stockId: stockOf(key), micros: startOf(key) }));
  const valid = await source.bars(wanted);
  const open = wanted.filter(({ stockId, micros }) => {
    const key = `${stockId} ${micros}`;
    return mayExplain(bars.get(key)!, valid.get(key) ?? null);
  });
  if (open.length === 0) return { overrides: [], explained: [] };
  const shown = await shownBars(open);
  const found = open.flatMap((at): { key: string; reason: string; override: Override }[] => {
    const key = `${at.stockId} ${at.micros}`;
    const { state, reason } = bars.get(key)!;
    const sink = shown.get(key) ?? null;
    // The row has come all the same: there is nothing to explain.
    if (sameBar(sink, valid.get(key) ?? null)) return [];
    const bar = state === null || state === 'unknown' ? sink : null;
    return [{ key, reason, override: { ...at, bar } }];
  });
  return {
    overrides: found.map(({ override }) => override),
    explained: found.map(({ key, reason }) => ({ key, reason })),
  };
}

/** Whether what the letter would have made of the row is what Postgres holds; of rows that are no bar, everybody says the same. */
function mayExplain({ state }: BarLetter, row: BarState | null): boolean {
  if (state === 'unknown') return true;
  return state === null || row === null ? state === row : sameBar(state, row);
}

const PRICES = ['open', 'high', 'low', 'close'] as const;

function sameBar(a: BarState | null, b: BarState | null): boolean {
  if (a === null || b === null) return a === b;
  const same = (x: string, y: string) => x === y || plain(x) === plain(y);
  return PRICES.every((name) => same(a[name], b[name])) && a.volume === b.volume && a.source === b.source;
}

/** A decimal without zeros behind its point. */
function plain(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
