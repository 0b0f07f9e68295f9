/** What a repair of prices makes of a comparison. */
import { describe, expect, it } from 'vitest';
import type { PriceSubject } from '../../../pipelines/prices/reconcile/reconcile.ts';
import { forgotten, planOf } from '../../../pipelines/prices/repair/plan.ts';

const subjects = (all: Readonly<Record<string, readonly (string | PriceSubject)[]>>) =>
  new Map(
    Object.entries(all).map(([report, keys]) => [
      report,
      keys.map((key): PriceSubject => (typeof key === 'string' ? { key, stray: false } : key)),
    ]),
  );

describe('the plan of a repair of prices', () => {
  it('has the stages tell again what a public topic lacks, and feeds what ClickHouse alone has wrong', () => {
    const plan = planOf(
      subjects({
        'clickhouse.bar': ['1 60000'],
        'clickhouse.5m': ['1 0', '1 300000'],
        'external.5m': ['1 0'],
        'signals.5m': ['1 0'],
        'signals.1d': ['2 0'],
        'clickhouse.indicators.1d': ['2 0', '3 0'],
      }),
    );
    expect(plan).toMatchObject({
      bars: ['bar 1 60000'],
      candles: ['5m 1 300000'],
      indicators: ['1d 3 0'],
      publish: ['5m 1 0', '1d 2 0'],
    });
  });

  it('knows the series of newest values, and those that no series has', () => {
    const plan = planOf(subjects({ 'redis.latest': ['ACME'], 'redis.indicators.1w': ['7 ACME', '-1 GONE'] }));
    expect(plan.prices).toEqual(['ACME']);
    expect(plan.newest).toEqual([
      { name: '1w:ACME', stock: '7' },
      { name: '1w:GONE', stock: null },
    ]);
  });

  it('has whole leaderboards written anew, without those who do not belong there', () => {
    const { boards } = planOf(
      subjects({
        'redis.movers.1d': ['sector:Real Estate gainers ACME', { key: 'all losers GONE', stray: true }],
        'redis.movers.1w': [
          { key: 'all losers GONE', stray: true },
          { key: 'all gainers GONE', stray: true },
        ],
      }),
    );
    expect(forgotten(boards, 2)).toEqual([
      { leaderboard: 'prices:1d:sector:Real Estate', partitions: [0, 1], strays: [] },
      { leaderboard: 'prices:1d:all', partitions: [0, 1], strays: ['GONE'] },
      { leaderboard: 'prices:1w:all', partitions: [0, 1], strays: ['GONE'] },
    ]);
  });

  it('has nothing to do about what is equal', () => {
    const plan = planOf(new Map());
    expect(Object.values(plan).every((part) => ('length' in part ? part.length : part.size) === 0)).toBe(true);
  });
});
