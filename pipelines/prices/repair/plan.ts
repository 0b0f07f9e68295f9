/** What is to be done about what a comparison found: pure. */
import type { Forgotten } from '../../../connectors/redis/forget.ts';
import { STRAY } from '../reconcile/key.ts';
import { PERIODS } from '../reconcile/movers-source.ts';
import type { PriceSubjects } from '../reconcile/reconcile.ts';
import { CANDLE_KINDS, KINDS } from '../reconcile/source.ts';
import { moversLeaderboard } from '../redis-movers.ts';

/** Bars, candles and indicators are named `kind stock start`. */
export interface PricesPlan {
  /** Bars that ClickHouse does not have as Postgres does: the pipeline has them wrong, or ClickHouse alone. */
  readonly bars: readonly string[];
  /** That ClickHouse alone has wrong: the public topics have them right. */
  readonly candles: readonly string[];
  readonly indicators: readonly string[];
  /** Candles of which a public topic is wrong: told again by the stages, and everything follows. */
  readonly publish: readonly string[];
  /** Symbols whose newest price is wrong. */
  readonly prices: readonly string[];
  /** `interval:symbol`, and the stock; null when there is none. */
  readonly newest: readonly { readonly name: string; readonly stock: string | null }[];
  /** By leaderboard: members that no record speaks of. */
  readonly boards: ReadonlyMap<string, readonly string[]>;
}

export function planOf(subjects: PriceSubjects): PricesPlan {
  const of = (report: string) => (subjects.get(report) ?? []).map(({ key }) => key);
  const namesOf = (report: string, kinds: readonly string[]) =>
    kinds.flatMap((kind) => of(`${report}.${kind}`).map((key) => `${kind} ${key}`));
  const publish = new Set([...namesOf('external', CANDLE_KINDS), ...namesOf('signals', CANDLE_KINDS)]);
  const alone = (names: readonly string[]) => names.filter((name) => !publish.has(name));
  return {
    bars: namesOf('clickhouse', ['bar']),
    candles: alone(namesOf('clickhouse', KINDS.slice(1))),
    indicators: alone(namesOf('clickhouse.indicators', CANDLE_KINDS)),
    publish: [...publish],
    prices: of('redis.latest'),
    newest: CANDLE_KINDS.flatMap((kind) =>
      of(`redis.indicators.${kind}`).map((key) => {
        const cut = key.indexOf(' ');
        const stock = key.slice(0, cut);
        return { name: `${kind}:${key.slice(cut + 1)}`, stock: stock === String(STRAY) ? null : stock };
      }),
    ),
    boards: boardsOf(subjects),
  };
}

function boardsOf(subjects: PriceSubjects): ReadonlyMap<string, readonly string[]> {
  const boards = new Map<string, string[]>();
  for (const period of PERIODS) {
    for (const { key, stray } of subjects.get(`redis.movers.${period}`) ?? []) {
      // A universe may hold blanks: `sector:Real Estate gainers ACME`.
      const [, universe, member] = /^(.*) \S+ (\S+)$/.exec(key)!;
      const name = moversLeaderboard(period, universe!);
      boards.set(name, [...(boards.get(name) ?? []), ...(stray ? [member!] : [])]);
    }
  }
  return boards;
}

/** What the sink of the boards is asked for. Where a stock is in the topic nobody asks: a board is small. */
export function forgotten(boards: PricesPlan['boards'], partitions: number): readonly Forgotten[] {
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  return [...boards].map(([leaderboard, strays]) => ({ leaderboard, partitions: all, strays: [...new Set(strays)] }));
}
