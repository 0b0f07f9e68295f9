import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Series, type SeriesCandle, windowOf } from '../../../pipelines/prices/indicators/series.ts';
import type { Interval } from '../../../pipelines/prices/intervals.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';
import { random } from '../../support/random.ts';
import { naiveIndicators } from './naive-indicators.ts';

const DAY = 86_400_000;
const STEP: Readonly<Partial<Record<Interval, number>>> = { '1w': 7 * DAY, '15m': DAY / 96, '5m': DAY / 288 };
const e6 = (price: number) => BigInt(Math.round(price * 1e6));

function candle(at: {
  readonly start: number;
  readonly close: number;
  readonly spread?: number;
  readonly volume?: bigint;
}) {
  const { start, close, spread = 0.5, volume = 100n } = at;
  return {
    symbol: 'ACME',
    start,
    end: start + DAY,
    open_e6: e6(close),
    high_e6: e6(close + spread),
    low_e6: e6(close - spread),
    close_e6: e6(close),
    volume,
    final: true,
  } satisfies SeriesCandle;
}

/** Candles of a random walk, now and then flat, with gaps. */
function walk(seed: number, count: number, step = DAY): SeriesCandle[] {
  const next = random(seed);
  let close = 50 + next() * 50;
  let start = 0;
  return Array.from({ length: count }, () => {
    start += step * (next() < 0.2 ? 3 : 1);
    if (next() > 0.1) close = Math.max(1, close + (next() - 0.5) * 4);
    return candle({
      start,
      close,
      spread: next() * 0.9,
      volume: next() < 0.02 ? 0n : BigInt(Math.floor(next() * 1e6)),
    });
  });
}

const series = (interval: Interval = '1d') => new Series({ stock_id: 1n, interval });
const rowsOf = (candles: readonly SeriesCandle[], interval: Interval = '1d') => {
  const fresh = series(interval);
  return candles.map((one) => fresh.add(one));
};

/** Compares what a row has with the definitions: numbers to 1e-6 of their size, all else exactly. */
function expectNaive(row: Indicators, candles: readonly SeriesCandle[]): void {
  for (const [name, wanted] of Object.entries(naiveIndicators(candles, row.interval))) {
    const found = row[name as keyof Indicators];
    if (typeof wanted !== 'number') {
      expect(`${name} ${found}`).toBe(`${name} ${wanted}`);
      continue;
    }
    expect(typeof found, `${name} of candle ${candles.length}`).toBe('number');
    const off = Math.abs((found as number) - wanted);
    expect(off, `${name} of candle ${candles.length}: ${found}, not ${wanted}`).toBeLessThanOrEqual(
      1e-6 * Math.max(1, Math.abs(wanted)),
    );
  }
}

describe('the indicators of a series', () => {
  it('are those of the published worksheet of the relative strength index', () => {
    // https://school.stockcharts.com/doku.php?id=technical_indicators:relative_strength_index_rsi (cs-rsi.xls)
    const closes = [
      44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
      45.614, 46.282, 46.282, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835,
      45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
    ];
    const rows = rowsOf(closes.map((close, index) => candle({ start: index * DAY, close })));
    const published = [
      70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46,
      37.3, 33.08, 37.77,
    ];
    expect(rows.slice(0, 14).every(({ rsi_14 }) => rsi_14 === null)).toBe(true);
    expect(rows.slice(14).map(({ rsi_14 }) => Math.round(rsi_14! * 100) / 100)).toEqual(published);
  });

  it('are those that a straight line has, worked out by hand', () => {
    // Closes 1, 2, 3 …; each candle from half below to half above.
    const rows = rowsOf(Array.from({ length: 260 }, (_, index) => candle({ start: index * DAY, close: index + 1 })));
    const last = rows.at(-1)!;
    expect(last.sma_20).toBeCloseTo(250.5, 9);
    expect(last.sma_50).toBeCloseTo(235.5, 9);
    expect(last.sma_200).toBeCloseTo(160.5, 9);
    // An exponential mean lags a line by (period − 1) / 2.
    expect(last.ema_12).toBeCloseTo(260 - 5.5, 6);
    expect(last.ema_26).toBeCloseTo(260 - 12.5, 5);
    expect(last.macd).toBeCloseTo(7, 5);
    expect(last.macd_histogram).toBeCloseTo(0, 5);
    expect(last.rsi_14).toBe(100);
    // High above the close before by 1.5; the first range is 1, and fades by 13/14 a candle.
    expect(last.atr_14).toBeCloseTo(1.5, 6);
    expect(last.obv).toBe(25_900n);
    expect(last.bollinger_upper! - last.bollinger_lower!).toBeCloseTo(4 * Math.sqrt((20 ** 2 - 1) / 12), 9);
    expect(last.volume_ratio).toBe(1);
    expect([last.high_20d_e6, last.low_20d_e6]).toEqual([259_500_000n, 239_500_000n]);
    expect(last.high_52w_e6).toBeNull();
    expect(last.signals).toEqual(['rsi_overbought']);
  });

  it('follow from their definitions, and are null without enough history', () => {
    for (const [interval, seed] of [
      ['1d', 1],
      ['1w', 2],
      ['5m', 3],
    ] as const) {
      const candles = walk(seed, 420, STEP[interval]);
      const rows = rowsOf(candles, interval);
      for (const [index, row] of rows.entries()) expectNaive(row, candles.slice(0, index + 1));
    }
  });

  it('begin each with the candle that completes its history', () => {
    const rows = rowsOf(walk(4, 420));
    const first = (name: keyof Indicators) => rows.findIndex((row) => row[name] !== null) + 1;
    const begin = {
      sma_20: 20,
      sma_50: 50,
      sma_200: 200,
      ema_12: 12,
      ema_26: 26,
      rsi_14: 15,
      macd: 26,
      macd_signal: 34,
    };
    const found = Object.fromEntries(Object.keys(begin).map((name) => [name, first(name as keyof Indicators)]));
    expect(found).toEqual(begin);
    expect([first('macd_histogram'), first('bollinger_upper'), first('atr_14'), first('volume_ratio')]).toEqual([
      34, 20, 14, 21,
    ]);
    expect([first('previous_close_e6'), first('high_20d_e6')]).toEqual([2, 21]);
  });

  it('have no relative strength while the price has never moved', () => {
    const rows = rowsOf(Array.from({ length: 40 }, (_, index) => candle({ start: index * DAY, close: 9 })));
    expect(rows.every(({ rsi_14, signals }) => rsi_14 === null && !signals.includes('rsi_overbought'))).toBe(true);
  });

  it('show each signal where it happens', () => {
    const closes = [
      ...Array.from({ length: 220 }, (_, index) => 100 + (index % 2)),
      ...Array.from({ length: 60 }, (_, index) => 100 - index),
      ...Array.from({ length: 120 }, (_, index) => 41 + 2 * index),
    ];
    const candles = closes.map((close, index) =>
      candle({ start: index * DAY, close, volume: index === 300 ? 201n : 100n }),
    );
    const rows = rowsOf(candles);
    const seen = new Map<string, number[]>();
    for (const [index, { signals }] of rows.entries()) {
      for (const name of signals) seen.set(name, [...(seen.get(name) ?? []), index]);
    }
    expect(seen.get('unusual_volume')).toEqual([300]);
    const side = (index: number) => Math.sign(rows[index]!.sma_50! - rows[index]!.sma_200!);
    expect(seen.get('death_cross')!.map((index) => [side(index - 1) >= 0, side(index)])).toEqual([[true, -1]]);
    expect(seen.get('golden_cross')!.map((index) => [side(index - 1) <= 0, side(index)])).toEqual([[true, 1]]);
    for (const index of seen.get('macd_cross_up')!) {
      expect(rows[index - 1]!.macd_histogram! <= 0 && rows[index]!.macd_histogram! > 0).toBe(true);
    }
    expect(seen.get('bollinger_break_down')).toContain(221);
    expect(seen.get('rsi_oversold')).toContain(279);
    expect(seen.get('rsi_overbought')).toContain(399);
  });

  it('do not depend on how a row was come by', () => {
    const history = fc.record({
      seed: fc.integer(),
      count: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 190, max: 420 })),
      interval: fc.constantFrom<Interval>('1d', '1w', '15m'),
      /** Before each candle: how often the last is replaced first, and whether the rest is gone on from stored rows. */
      steps: fc.array(fc.record({ replaced: fc.nat(2), resumed: fc.boolean() }), { minLength: 1, maxLength: 9 }),
    });
    fc.assert(
      fc.property(history, ({ seed, count, interval, steps }) => {
        const candles = walk(seed, count, STEP[interval]);
        const whole = rowsOf(candles, interval);
        let running = series(interval);
        const rows: Indicators[] = [];
        for (const [index, one] of candles.entries()) {
          const { replaced, resumed } = steps[index % steps.length]!;
          if (resumed) running = Series.behind({ stock_id: 1n, interval }, rows.slice(-windowOf(interval)));
          const drafts = walk(seed + index + 1, replaced).map((draft) => ({ ...draft, start: one.start }));
          const [first = one, ...others] = [...drafts, one];
          let row = running.add(first);
          for (const next of others) row = running.replace(next);
          rows.push(row);
        }
        expect(rows).toEqual(whole);
      }),
      { seed: 7, numRuns: 60 },
    );
  });
});
