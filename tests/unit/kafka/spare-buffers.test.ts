import { expect, it } from 'vitest';
import { SpareBuffers } from '../../../connectors/kafka/record-batch.ts';

it('gives memory back once, keeps little of it and none that a large record has made', () => {
  const spare = new SpareBuffers();
  const used = new Set<Buffer>();
  for (let round = 0; round < 3; round++) {
    const taken = Array.from({ length: 6 }, () => spare.take(20_000));
    expect(new Set(taken).size).toBe(6);
    expect(taken.filter((buffer) => used.has(buffer))).toHaveLength(round === 0 ? 0 : 4);
    for (const buffer of taken) {
      used.add(buffer);
      spare.give(buffer);
    }
  }
  const other = new SpareBuffers();
  const large = other.take(4_000_000);
  other.give(large);
  expect(other.take(20_000)).not.toBe(large);
  other.give(Buffer.alloc(20_000));
  expect(other.take(30_000).length).toBeGreaterThanOrEqual(30_000);
});
