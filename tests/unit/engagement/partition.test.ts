import { describe, expect, it } from 'vitest';
import { partitionOf, routingHash } from '../../../pipelines/engagement/partition.ts';

describe('the partition of a content', () => {
  // What io.debezium.util.MurmurHash3 of Debezium 3.7.0 answers: no byte, less than a block, blocks exactly, and with a rest.
  it.each([
    ['', 89_125_410],
    ['a', -1_119_243_492],
    ['0123456789abcdef', 26_898_387],
    ['0123456789abcdefg', -1_536_414_354],
    ['00000000-0000-4000-8000-00000000000a', 1_305_227_408],
    ['0f8fad5b-d9cb-469f-a165-70867728950e', 445_528_652],
  ])('of %j is by the hash that the routing takes', (text, hash) => {
    expect(routingHash(text)).toBe(hash);
  });

  it('is a partition also where the hash is negative', () => {
    expect(partitionOf('00000000-0000-4000-8000-00000000000b', 4)).toBe((-422_897_128 & 0x7fffffff) % 4);
  });
});
