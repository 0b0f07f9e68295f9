import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RowHashes } from '../../../pipelines/engagement/reconcile/external.ts';
import { textHash } from '../../../pipelines/engagement/reconcile/row.ts';
import { RowTable } from '../../../pipelines/engagement/reconcile/row-table.ts';

it('holds the newest record of each key, as a map does, through growth and collisions', () => {
  const operation = fc.record({ key: fc.nat(3_000), hash: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })) });
  fc.assert(
    fc.property(fc.array(operation, { minLength: 2_000, maxLength: 6_000 }), fc.boolean(), (operations, collide) => {
      const table = new RowTable();
      const model = new Map<bigint, bigint>();
      for (const { key, hash } of operations) {
        const id = BigInt(key) - 1_500n;
        // Keys that agree in their low bits land on the same slot.
        const name = collide ? BigInt(key) << 48n : textHash(String(key));
        if (hash === null) {
          table.remove(name);
          model.delete(id);
        } else {
          table.put(name, id, hash);
          model.set(id, hash);
        }
      }
      expect(new Map(table.live())).toEqual(model);
    }),
    { numRuns: 20, seed: 20_260_101 },
  );
});

it('sums hashes by range of ids and gives them back by id', () => {
  const hashes = new RowHashes();
  for (let id = 0n; id < 40_000n; id++) hashes.add(id, 2n ** 63n);
  hashes.add(3n, 5n);
  expect(hashes.count).toBe(40_001);
  const sums = hashes.rangeSums();
  expect([...sums.keys()]).toEqual([0n, 1n, 2n]);
  // An even number of 2^63 is nothing, modulo 2^64.
  expect(sums.get(0n)).toEqual({ rows: 16_385, sum: 5n });
  const rows = hashes.rowHashes([0n]);
  expect(rows.size).toBe(16_384);
  expect(rows.get(3n)).toBe(2n ** 63n + 5n);
});
