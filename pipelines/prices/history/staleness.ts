/** How old the newest bar of each stock is, in sessions of its exchange. */
import { zoneOf } from '../exchanges.ts';
import { isTradingDay, lastSession } from '../sessions.ts';
import { Zone } from '../zone.ts';

export interface Listed {
  readonly symbol: string;
  readonly exchange: string;
  /** Start of its newest bar, of whatever grain; null when it has none. */
  readonly newestMs: number | null;
}

export interface Staleness extends Listed {
  /** Sessions that have ended since the day of its newest bar: 0 is as new as can be expected; null when it has none. */
  readonly sessionsBehind: number | null;
}

export interface ExchangeStaleness {
  readonly exchange: string;
  /** The day of the last session that has ended: 2026-01-30. */
  readonly expected: string;
  readonly symbols: number;
  readonly current: number;
  readonly stale: number;
  readonly never: number;
}

const DAY_MS = 86_400_000;

/** Each against what its exchange's last session leads to expect. Holidays count as sessions: nobody tells them. */
export function stalenessOf(listed: readonly Listed[], nowMs: number): readonly Staleness[] {
  const expected = new Map<string, number>();
  return listed.map((stock) => {
    const { exchange, newestMs } = stock;
    const day = expected.get(exchange) ?? lastSession(exchange, nowMs);
    expected.set(exchange, day);
    if (newestMs === null) return { ...stock, sessionsBehind: null };
    const newest = Zone.of(zoneOf(exchange)).dayOf(newestMs);
    return { ...stock, sessionsBehind: sessionsBetween(newest, day) };
  });
}

/** By exchange, sorted. */
export function byExchange(stocks: readonly Staleness[], nowMs: number): readonly ExchangeStaleness[] {
  return [...Map.groupBy(stocks, ({ exchange }) => exchange)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([exchange, of]) => ({
      exchange,
      expected: new Date(lastSession(exchange, nowMs) * DAY_MS).toISOString().slice(0, 10),
      symbols: of.length,
      current: of.filter(({ sessionsBehind }) => sessionsBehind === 0).length,
      stale: of.filter(({ sessionsBehind }) => sessionsBehind !== null && sessionsBehind > 0).length,
      never: of.filter(({ sessionsBehind }) => sessionsBehind === null).length,
    }));
}

/** Trading days in (from, to]. */
function sessionsBetween(from: number, to: number): number {
  if (to <= from) return 0;
  const weeks = Math.floor((to - from) / 7);
  let sessions = weeks * 5;
  for (let day = from + weeks * 7 + 1; day <= to; day++) if (isTradingDay(day)) sessions++;
  return sessions;
}
