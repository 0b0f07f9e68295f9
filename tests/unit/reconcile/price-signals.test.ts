/** Two ways of computing indicators come to the same: the judge's, by definition, and the pipeline's, by a library and step by step. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Series } from '../../../pipelines/prices/indicators/series.ts';
import { expectedRows, INDICATOR_NAMES } from '../../../pipelines/prices/reconcile/indicators.ts';
import { LEVEL_NAMES } from '../../../pipelines/prices/reconcile/levels.ts';
import { CANDLE_KINDS, type CandleFigures, type CandleKind } from '../../../pipelines/prices/reconcile/source.ts';
import { type ShownIndicators, wrongOf } from '../../../pipelines/prices/reconcile/wrong-indicators.ts';
import { pivotsOf } from '../../../pipelines/prices/scanner/figures.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';

const DAY = 86_400_000;

const candle = fc
  .record({
    close: fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 90, max: 110 }) },
      { weight: 1, arbitrary: fc.constantFrom(100, 1, 999_999) },
    ),
    up: fc.nat(3),
    down: fc.nat(3),
    volume: fc.oneof(fc.nat(1_000), fc.constantFrom(0, 2 ** 40)),
  })
  .map(({ close, up, down, volume }) => ({
    open: BigInt(close) * 10_000n,
    high: BigInt(close + up) * 10_000n,
    low: BigInt(Math.max(close - down, 1)) * 10_000n,
    close: BigInt(close) * 10_000n,
    volume: BigInt(volume),
  }));
/** Long enough for all; also with stretches in which nothing moves. */
const candles = fc
  .array(fc.tuple(candle, fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 40 }))), {
    minLength: 1,
    maxLength: 150,
    size: 'max',
  })
  .map((runs) => runs.flatMap(([one, times]) => Array<typeof one>(times).fill(one)))
  .map((all) => all.map((one, at): CandleFigures => ({ ...one, symbol: 'S', start: at * DAY, end: (at + 1) * DAY })));

function byPipeline(interval: CandleKind, all: readonly CandleFigures[]): readonly Indicators[] {
  const series = new Series({ stock_id: 1n, interval });
  return all.map(({ symbol, start, end, open, high, low, close, volume }) => {
    const prices = { open_e6: open, high_e6: high, low_e6: low, close_e6: close };
    return series.add({ symbol, start, end, volume, ...prices, final: true });
  });
}

/** As a place that shows all of a row. */
function shownOf(row: Indicators): ShownIndicators {
  const { symbol, start, end, open_e6, high_e6, low_e6, close_e6, volume, obv, signals, final } = row;
  const pivots = row.interval === '1d' || row.interval === '1w' ? pivotsOf(row) : {};
  const levels = Object.fromEntries(
    LEVEL_NAMES.map((name) => [name, { ...row, ...pivots }[name as 'low_20d_e6'] ?? null]),
  );
  const prices = { open_e6, high_e6, low_e6, close_e6 };
  return { exact: { symbol, start, end, volume, obv, ...prices, ...levels }, values: row, signals, end, final };
}

describe('the judge of signals', () => {
  it('finds nothing wrong with what the pipeline computes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CANDLE_KINDS), candles, (kind, all) => {
        const rows = byPipeline(kind, all);
        for (const [at, row] of [...expectedRows(kind, all)].entries())
          expect(wrongOf(row, shownOf(rows[at]!)), `candle ${at}`).toBeNull();
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  it('names whatever is not as expected', () => {
    // Beyond 52 weeks, so that there is no level without a value.
    const all = Array.from({ length: 380 }, (_, at): CandleFigures => {
      const close = BigInt(100 + ((at * 7) % 23)) * 1_000_000n;
      const figures = { open: close, high: close + 2_000_000n, low: close - 1_000_000n, close };
      return { symbol: 'S', start: at * DAY, end: (at + 1) * DAY, ...figures, volume: BigInt(10 + (at % 5)) };
    });
    const row = [...expectedRows('1d', all)].at(-1)!;
    const shown = shownOf(byPipeline('1d', all).at(-1)!);
    const spoilt = (change: Partial<ShownIndicators>) => wrongOf(row, { ...shown, ...change })?.sink;
    expect(spoilt({})).toBeUndefined();
    for (const name of INDICATOR_NAMES) {
      const wrong = shown.values[name]! * (1 + 3e-6) + 3e-6;
      for (const value of [wrong, null])
        expect(spoilt({ values: { ...shown.values, [name]: value } })).toBe(`${name}=${value}`);
    }
    const names = Object.keys(shown.exact) as (keyof typeof shown.exact)[];
    expect(names).toHaveLength(9 + LEVEL_NAMES.length);
    for (const name of names) {
      const right = shown.exact[name]!;
      expect(right).not.toBeNull();
      const wrong = typeof right === 'bigint' ? right + 1n : 'T';
      for (const value of [wrong, null]) {
        expect(spoilt({ exact: { ...shown.exact, [name]: value } })).toBe(`${name}=${value}`);
      }
    }
    expect(spoilt({ signals: [...shown.signals, 'golden_cross'] })).toContain('golden_cross');
    expect(wrongOf(row, null)).toEqual({ postgres: 'a row', sink: null });
  });

  it('says nothing of what a place does not have', () => {
    const all = [{ symbol: 'S', start: 0, end: DAY, open: 2n, high: 3n, low: 1n, close: 2n, volume: 1n }];
    const [row] = [...expectedRows('1d', all)];
    const shown = shownOf(byPipeline('1d', all)[0]!);
    expect(wrongOf(row!, { ...shown, exact: { symbol: 'S' } })).toBeNull();
    expect(wrongOf(row!, { ...shown, exact: { symbol: 'T' } })).toEqual({ postgres: 'symbol=S', sink: 'symbol=T' });
  });
});
