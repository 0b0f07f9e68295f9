import { describe, expect, it } from 'vitest';
import { byExchange, stalenessOf } from '../../../pipelines/prices/history/staleness.ts';
import { lastSession } from '../../../pipelines/prices/sessions.ts';

const DAY_MS = 86_400_000;
const dayOf = (date: string) => Date.parse(`${date}T00:00:00Z`) / DAY_MS;

describe('the last session that has ended', () => {
  it.each([
    // Friday in New York, a minute before and at the close.
    ['NYSE', '2026-01-09T20:59:00Z', '2026-01-08'],
    ['NYSE', '2026-01-09T21:00:00Z', '2026-01-09'],
    // The weekend, and Monday before the close.
    ['NYSE', '2026-01-11T12:00:00Z', '2026-01-09'],
    ['NYSE', '2026-01-12T15:00:00Z', '2026-01-09'],
    // Already Tuesday in Tokyo.
    ['TSE', '2026-01-12T20:00:00Z', '2026-01-12'],
    // An exchange whose hours nobody knows: when its day, UTC, is over.
    ['ELSEWHERE', '2026-01-09T23:59:00Z', '2026-01-08'],
    ['ELSEWHERE', '2026-01-10T00:00:00Z', '2026-01-09'],
  ])('of %s at %s is that of %s', (exchange, now, day) => {
    expect(lastSession(exchange, Date.parse(now))).toBe(dayOf(day));
  });
});

describe('staleness', () => {
  const now = Date.parse('2026-01-12T15:00:00Z');
  const listed = (symbol: string, newest: string | null) => ({
    ...{ symbol, exchange: 'NYSE' },
    newestMs: newest === null ? null : Date.parse(newest),
  });
  const stocks = stalenessOf(
    [
      listed('TODAY', '2026-01-12T14:59:00Z'),
      listed('FRIDAY', '2026-01-09T05:00:00Z'),
      listed('THURSDAY', '2026-01-08T20:59:00Z'),
      listed('LAST_YEAR', '2025-12-29T05:00:00Z'),
      listed('WEEKEND', '2026-01-03T15:00:00Z'),
      listed('NEVER', null),
    ],
    now,
  );

  it('counts the sessions that a stock has missed', () => {
    expect(stocks.map(({ symbol, sessionsBehind }) => [symbol, sessionsBehind])).toEqual([
      ['TODAY', 0],
      ['FRIDAY', 0],
      ['THURSDAY', 1],
      ['LAST_YEAR', 9],
      ['WEEKEND', 5],
      ['NEVER', null],
    ]);
  });

  it('is summed up by exchange', () => {
    expect(byExchange(stocks, now)).toEqual([
      { exchange: 'NYSE', expected: '2026-01-09', symbols: 6, current: 2, stale: 3, never: 1 },
    ]);
  });
});
