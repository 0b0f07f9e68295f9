import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Claim,
  decodeAssignment,
  decodeClaim,
  encodeAssignment,
  encodeClaim,
  share,
} from '../../../connectors/kafka/assignment.ts';

const partitions = fc.integer({ min: 0, max: 24 });
const claims = fc
  .uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { minLength: 1, maxLength: 6 })
  .chain((members) =>
    fc.tuple(
      ...members.map((memberId) =>
        fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 12 }).map((owned) => ({ memberId, owned })),
      ),
    ),
  );

const sizes = (given: ReadonlyMap<string, readonly number[]>) => [...given.values()].map((owned) => owned.length);

describe('sharing out partitions', () => {
  it('gives each partition once, evenly, to members that are there', () => {
    fc.assert(
      fc.property(partitions, claims, (count, of) => {
        const given = share(count, of);
        expect([...given.keys()].sort()).toEqual(of.map(({ memberId }) => memberId).sort());
        expect([...given.values()].flat().sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
        expect(Math.max(...sizes(given)) - Math.min(...sizes(given))).toBeLessThanOrEqual(1);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('answers the same to the same claims in any order', () => {
    fc.assert(
      fc.property(partitions, claims, fc.nat(), (count, of, turn) => {
        const turned = [...of.slice(turn % of.length), ...of.slice(0, turn % of.length)].map(({ memberId, owned }) => ({
          memberId,
          owned: [...owned].reverse(),
        }));
        expect([...share(count, turned)].sort()).toEqual([...share(count, of)].sort());
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('changes nothing when everybody claims what they were given', () => {
    fc.assert(
      fc.property(partitions, claims, (count, of) => {
        const given = share(count, of);
        const again = [...given].map(([memberId, owned]) => ({ memberId, owned }));
        expect([...share(count, again)].sort()).toEqual([...given].sort());
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  it('takes from a member only what is too much for it when another joins, and leaves everything when one leaves', () => {
    fc.assert(
      fc.property(partitions, claims, (count, of) => {
        const given = share(count, of);
        const kept: Claim[] = [...given].map(([memberId, owned]) => ({ memberId, owned }));
        const joined = share(count, [...kept, { memberId: 'z', owned: [] }]);
        const most = Math.ceil(count / (kept.length + 1));
        for (const { memberId, owned } of kept) {
          const stays = joined.get(memberId)!.filter((partition) => owned.includes(partition));
          expect(stays.length).toBe(joined.get(memberId)!.length);
          expect(stays.length).toBeGreaterThanOrEqual(Math.min(owned.length, most - 1));
        }
        const left = kept.slice(1);
        if (left.length === 0) return;
        const after = share(count, left);
        for (const { memberId, owned } of left) expect(after.get(memberId)).toEqual(expect.arrayContaining([...owned]));
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('gives a partition that two claim to the first by name', () => {
    const given = share(4, [
      { memberId: 'b', owned: [0, 1] },
      { memberId: 'a', owned: [1, 2] },
    ]);
    expect(Object.fromEntries(given)).toEqual({ a: [1, 2], b: [0, 3] });
  });

  it('ignores claims of partitions that are not there', () => {
    expect(Object.fromEntries(share(2, [{ memberId: 'a', owned: [7, -1, 1] }]))).toEqual({ a: [0, 1] });
  });
});

describe('the embedded protocol', () => {
  const owned = fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { maxLength: 50 });

  it('carries claims and assignments', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), owned, (topic, numbers) => {
        expect(decodeClaim(encodeClaim(topic, numbers))).toEqual(numbers);
        expect(decodeAssignment(encodeAssignment(topic, numbers))).toEqual(numbers);
      }),
      { seed: 5 },
    );
  });

  it('takes an empty assignment, and a claim without user data', () => {
    expect(decodeAssignment(Buffer.alloc(0))).toEqual([]);
    const bare = Buffer.concat([
      Buffer.from([0, 0, 0, 0, 0, 1, 0, 1]),
      Buffer.from('t'),
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
    ]);
    expect(decodeClaim(bare)).toEqual([]);
  });
});
