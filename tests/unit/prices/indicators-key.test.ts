import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asOfKey,
  BEHIND_PREFIX,
  behindKey,
  candleKey,
  decodeIndicatorsKey,
  seriesPrefix,
} from '../../../pipelines/prices/codec/indicators-key.ts';
import { INTERVALS } from '../../../pipelines/prices/intervals.ts';

const stock = fc.oneof(fc.bigInt({ min: 0n, max: 5n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const interval = fc.constantFrom(...INTERVALS);
const start = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -5, max: 5 }));

describe('the keys of prices.indicators', () => {
  it('are read back', () => {
    fc.assert(
      fc.property(stock, interval, start, fc.nat(), (stockId, name, at, partition) => {
        expect(decodeIndicatorsKey(candleKey(stockId, name, at))).toEqual({
          kind: 'candle',
          stockId,
          interval: name,
          start: at,
        });
        expect(decodeIndicatorsKey(behindKey(stockId, name))).toEqual({ kind: 'behind', stockId, interval: name });
        expect(behindKey(stockId, name).subarray(0, 1).equals(BEHIND_PREFIX)).toBe(true);
        expect(decodeIndicatorsKey(asOfKey(partition))).toEqual({ kind: 'asof', partition });
      }),
      { seed: 11 },
    );
  });

  it('sort by time within a series, before 1970 too, and a series is one stretch', () => {
    fc.assert(
      fc.property(stock, interval, start, start, (stockId, name, a, b) => {
        const [one, other] = [candleKey(stockId, name, a), candleKey(stockId, name, b)];
        expect(Math.sign(Buffer.compare(one, other))).toBe(Math.sign(a - b));
        expect(one.subarray(0, 10).equals(seriesPrefix(stockId, name))).toBe(true);
      }),
      { seed: 12 },
    );
  });

  it('refuses what is none', () => {
    for (const bytes of ['', '01', '0300', '0900000001']) {
      expect(() => decodeIndicatorsKey(Buffer.from(bytes, 'hex'))).toThrow('is no key of prices.indicators');
    }
  });
});
