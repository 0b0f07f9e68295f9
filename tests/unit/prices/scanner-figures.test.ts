import { describe, expect, it } from 'vitest';
import { changeBp, pivotsOf, scoreOf, untilOf } from '../../../pipelines/prices/scanner/figures.ts';
import { Zone } from '../../../pipelines/prices/zone.ts';
import type { WatchedCandle } from '../../../schemas/prices/movers.ts';

const candle: WatchedCandle = {
  ...{ start: 0, until: 1, high_e6: 110n, low_e6: 90n, close_e6: 100n, volume: 10n, volume_ratio: null },
  ...{ previous_close_e6: null, previous_high_e6: null, previous_low_e6: null },
  ...{ high_20d_e6: null, low_20d_e6: null, high_52w_e6: null, low_52w_e6: null },
};

describe('the figures of a mover', () => {
  it('leave a day on the boards until the next weekday at the exchange', () => {
    const zone = Zone.of('America/New_York');
    const until = (day: string) => new Date(untilOf('1d', zone, { start: Date.parse(day), end: 0 })).toISOString();
    expect(until('2026-07-08T04:00:00Z')).toBe('2026-07-09T04:00:00.000Z');
    expect(until('2026-07-10T04:00:00Z')).toBe('2026-07-13T04:00:00.000Z');
    // The clock goes forward on Sunday, March 8th.
    expect(until('2026-03-06T05:00:00Z')).toBe('2026-03-09T04:00:00.000Z');
    expect(until('2026-07-11T04:00:00Z')).toBe('2026-07-13T04:00:00.000Z');
    expect(untilOf('1w', zone, { start: 5, end: 77 })).toBe(77);
  });

  it('count changes in basis points, halves rounded up', () => {
    const change = (from: bigint, to: bigint) => changeBp({ ...candle, previous_close_e6: from, close_e6: to });
    expect([change(100n, 101n), change(100n, 99n), change(100n, 100n)]).toEqual([100n, -100n, 0n]);
    expect([change(20_000n, 20_001n), change(20_000n, 19_999n)]).toEqual([1n, 0n]);
    expect([change(30_000n, 30_002n), change(30_000n, 29_998n)]).toEqual([1n, -1n]);
    expect(changeBp(candle)).toBeNull();
  });

  it('rank what belongs on a board only', () => {
    const scores = (over: Partial<WatchedCandle>) =>
      Object.fromEntries(
        Object.entries(scoreOf).flatMap(([name, score]) => {
          const found = score({ ...candle, volume: 0n, ...over });
          return found < 0 ? [] : [[name, found]];
        }),
      );
    expect(scores({})).toEqual({});
    expect(scores({ previous_close_e6: 80n })).toEqual({ gainers: 2_500 });
    expect(scores({ previous_close_e6: 125n })).toEqual({ losers: 2_000 });
    expect(scores({ volume: 7n, volume_ratio: 1.99 })).toEqual({ most_active: 7 });
    expect(scores({ volume_ratio: 2 })).toEqual({ unusual_volume: 2 });
    expect(scores({ high_20d_e6: 110n, low_20d_e6: 90n })).toEqual({});
    // Support 90 and 75, resistance 120 and 135; the change of the close is beside the point.
    const before = { previous_high_e6: 120_000n, previous_low_e6: 90_000n, previous_close_e6: 105_000n };
    const at = (close_e6: bigint) => {
      const { gainers: _gainers, losers: _losers, ...rest } = scores({ ...before, close_e6 });
      return rest;
    };
    expect([at(120_000n), at(90_000n)]).toEqual([{ at_resistance: 100 }, { at_support: 100 }]);
    expect([at(119_000n), at(121_000n)]).toEqual([{ at_resistance: 16 }, { at_resistance: 17 }]);
    expect([at(118_817n), at(118_818n)]).toEqual([{}, { at_resistance: 1 }]);
    expect([at(75_300n), at(135_700n), at(105_000n)]).toEqual([{ at_support: 60 }, { at_resistance: 48 }, {}]);
    expect(scores({ high_20d_e6: 100n, high_52w_e6: 109n })).toEqual({ high_20d: 1_000, high_52w: 92 });
    expect(scores({ low_20d_e6: 100n, low_52w_e6: 91n })).toEqual({ low_20d: 1_000, low_52w: 110 });
  });

  it('have the floor pivots of the candle before', () => {
    const before = { previous_high_e6: 120n, previous_low_e6: 90n, previous_close_e6: 105n };
    expect(pivotsOf({ ...candle, ...before })).toEqual({
      ...{ pivot_e6: 105n, resistance_1_e6: 120n, support_1_e6: 90n, resistance_2_e6: 135n, support_2_e6: 75n },
    });
    // Thirds: 316 / 3, rounded only at the end.
    const { pivot_e6, resistance_1_e6, support_1_e6 } = pivotsOf({ ...candle, ...before, previous_close_e6: 106n });
    expect([pivot_e6, resistance_1_e6, support_1_e6]).toEqual([105n, 121n, 91n]);
    expect(pivotsOf(candle).pivot_e6).toBeNull();
  });
});
