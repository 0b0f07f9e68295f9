/** The order in which the store keeps candles. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { CANDLE_ORDER, seriesRange, startOfOrdered } from '../../../pipelines/prices/candles/order.ts';
import { encodeCandleKey } from '../../../pipelines/prices/codec/candle.ts';
import { AS_OF, BAR, INTERVALS } from '../../../pipelines/prices/intervals.ts';

const MAX_START = Date.UTC(2200, 0, 1);
const at = fc.record({
  stock_id: fc.oneof(fc.bigInt({ min: -200n, max: 200n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  interval: fc.constantFrom(BAR, AS_OF, ...INTERVALS),
  start: fc.oneof(
    fc.nat(300),
    fc.integer({ min: 0, max: MAX_START / 60_000 }).map((minute) => minute * 60_000),
  ),
});

it('keeps series apart, and each in the order of time', () => {
  const keyOf = (key: { stock_id: bigint; interval: string; start: number }) =>
    Buffer.from(encodeCandleKey(new ByteWriter(), 7, key));
  fc.assert(
    fc.property(at, at, (one, other) => {
      const [key, otherKey] = [keyOf(one), keyOf({ ...one, start: other.start })];
      const [ordered, otherOrdered] = [CANDLE_ORDER.keyOf(key), CANDLE_ORDER.keyOf(otherKey)];
      expect(startOfOrdered(ordered)).toBe(one.start);
      expect(Math.sign(ordered.compare(otherOrdered))).toBe(Math.sign(one.start - other.start));
      const { prefix, end } = seriesRange(otherKey);
      expect(ordered.subarray(0, prefix.length).equals(prefix)).toBe(true);
      expect(ordered.compare(end)).toBe(-1);
      const stranger = CANDLE_ORDER.keyOf(keyOf({ ...other, start: one.start }));
      const same = one.stock_id === other.stock_id && one.interval === other.interval;
      expect(stranger.equals(ordered)).toBe(same);
      expect(stranger.subarray(0, prefix.length).equals(prefix)).toBe(same);
    }),
    { seed: 3, numRuns: 500 },
  );
});
