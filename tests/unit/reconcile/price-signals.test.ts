/** Two ways of computing indicators come to the same: the judge's, by definition, and the pipeline's, by a library and step by step. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Series } from '../../../pipelines/prices/indicators/series.ts';
import { expectedRows } from '../../../pipelines/prices/reconcile/indicators.ts';
import { wrongOf } from '../../../pipelines/prices/reconcile/public-signals.ts';
import type { CandleFigures } from '../../../pipelines/prices/reconcile/source.ts';
import type { SignalsV1 } from '../../../schemas/prices/signals-v1.ts';

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

function byPipeline(all: readonly CandleFigures[]): readonly SignalsV1[] {
  const series = new Series({ stock_id: 1n, interval: '1d' });
  return all.map(({ symbol, start, end, high, low, close, volume }) =>
    series.add({
      symbol,
      start,
      end,
      volume,
      open_e6: close,
      high_e6: high,
      low_e6: low,
      close_e6: close,
      final: true,
    }),
  );
}

describe('the judge of signals', () => {
  it('finds nothing wrong with what the pipeline computes', () => {
    fc.assert(
      fc.property(candles, (all) => {
        const records = byPipeline(all);
        for (const [at, row] of expectedRows(all).entries())
          expect(wrongOf(row, records[at]!), `candle ${at}`).toBeNull();
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  it('names whatever is not as expected', () => {
    const all = Array.from({ length: 250 }, (_, at): CandleFigures => {
      const close = BigInt(100 + ((at * 7) % 23)) * 1_000_000n;
      const figures = { high: close + 2_000_000n, low: close - 1_000_000n, close, volume: BigInt(10 + (at % 5)) };
      return { symbol: 'S', start: at * DAY, end: (at + 1) * DAY, ...figures };
    });
    const row = expectedRows(all).at(-1)!;
    const record = byPipeline(all).at(-1)!;
    const spoilt = (change: Partial<SignalsV1>) => wrongOf(row, { ...record, ...change })?.sink;
    expect(spoilt({})).toBeUndefined();
    const names = Object.keys(row.values) as (keyof typeof row.values)[];
    expect(names).toHaveLength(13);
    for (const name of names) {
      const wrong = record[name]! * (1 + 3e-6) + 3e-6;
      expect(spoilt({ [name]: wrong })).toBe(`${name}=${wrong}`);
      expect(spoilt({ [name]: null })).toBe(`${name}=null`);
    }
    expect(spoilt({ obv: record.obv + 1n })).toBe(`obv=${record.obv + 1n}`);
    expect(spoilt({ end: 7, symbol: 'T' })).toBe('symbol=T end=7');
    expect(spoilt({ signals: [...record.signals, 'golden_cross'] })).toContain('golden_cross');
    expect(wrongOf(row, null)).toEqual({ postgres: 'a row', sink: null });
  });
});
