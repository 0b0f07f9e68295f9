/** The order in which the store keeps rows. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { encodeKey } from '../../../pipelines/engagement/codec/key.ts';
import { ROW_ORDER, topicKeyOf } from '../../../pipelines/engagement/enrich/order.ts';

const contentId = fc.oneof(fc.uuid(), fc.string({ maxLength: 200 }));
const eventId = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }));
const keyOf = (content: string, id: bigint) => Buffer.from(encodeKey(new ByteWriter(), 7, content, id));

it('keeps the rows of a content in the order of their ids, behind what its keys begin with', () => {
  fc.assert(
    fc.property(contentId, eventId, eventId, (content, one, other) => {
      const [ordered, otherOrdered] = [ROW_ORDER.keyOf(keyOf(content, one)), ROW_ORDER.keyOf(keyOf(content, other))];
      expect(ordered.compare(otherOrdered)).toBe(one < other ? -1 : one > other ? 1 : 0);
      const prefix = keyOf(content, 0n).subarray(0, -1);
      expect(ordered.subarray(0, prefix.length).equals(prefix)).toBe(true);
    }),
    { seed: 5, numRuns: 500 },
  );
});

it('gives back the key of any row, and no two the same', () => {
  const anyId = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  fc.assert(
    fc.property(contentId, anyId, contentId, anyId, (content, id, otherContent, otherId) => {
      const [key, other] = [keyOf(content, id), keyOf(otherContent, otherId)];
      expect(topicKeyOf(ROW_ORDER.keyOf(key)).equals(key)).toBe(true);
      expect(ROW_ORDER.keyOf(key).equals(ROW_ORDER.keyOf(other))).toBe(key.equals(other));
    }),
    { seed: 5, numRuns: 500 },
  );
});
