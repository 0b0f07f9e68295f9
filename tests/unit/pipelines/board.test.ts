import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Board, NOT_RANKED } from '../../../pipelines/board.ts';

interface Item {
  readonly id: string;
  score: number;
}

const sorted = (items: readonly Item[], limit: number) =>
  items
    .filter(({ score }) => score !== NOT_RANKED)
    .sort((a, b) => b.score - a.score || (a.id < b.id ? 1 : -1))
    .slice(0, limit)
    .map(({ id }) => id);

describe('Board', () => {
  it('equals a sort after every update, whatever rises and falls', () => {
    const update = fc.record({
      item: fc.nat(39),
      score: fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constant(NOT_RANKED)),
      look: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(update, { maxLength: 250, size: 'max' }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (updates, limit, reserve) => {
          const items: Item[] = Array.from({ length: 40 }, (_, n) => ({ id: `c${n}`, score: NOT_RANKED }));
          const board = new Board<Item>({ limit, reserve, scoreOf: ({ score }) => score, items: () => items });
          for (const { item, score, look } of updates) {
            items[item]!.score = score;
            board.update(items[item]!);
            if (look) expect(board.top().map(({ id }) => id)).toEqual(sorted(items, limit));
          }
          expect(board.top().map(({ id }) => id)).toEqual(sorted(items, limit));
        },
      ),
      { seed: 71, numRuns: 400 },
    );
  });

  it('scans rarely: falling scores cost a scan only after a reserve of candidates is lost', () => {
    let scans = 0;
    const items: Item[] = Array.from({ length: 2_000 }, (_, n) => ({ id: `c${n}`, score: n + 1 }));
    const board = new Board<Item>({
      limit: 10,
      reserve: 100,
      scoreOf: ({ score }) => score,
      items: () => {
        scans += 1;
        return items;
      },
    });
    // Each fall takes the present leader to the bottom.
    for (let n = 0; n < 1_000; n += 1) {
      const leader = board.top()[0]!;
      leader.score = 0;
      board.update(leader);
    }
    expect(board.top().map(({ id }) => id)).toEqual(sorted(items, 10));
    expect(scans).toBeGreaterThan(1);
    expect(scans).toBeLessThanOrEqual(1 + 1_000 / 100);
  });

  it('breaks ties by id, descending', () => {
    const items: Item[] = ['b', 'c', 'a'].map((id) => ({ id, score: 5 }));
    const board = new Board<Item>({ limit: 2, reserve: 1, scoreOf: ({ score }) => score, items: () => items });
    expect(board.top().map(({ id }) => id)).toEqual(['c', 'b']);
  });

  it('gives the same array while nothing changed', () => {
    const items: Item[] = [{ id: 'a', score: 1 }];
    const board = new Board<Item>({ limit: 2, reserve: 1, scoreOf: ({ score }) => score, items: () => items });
    const first = board.top();
    board.update(items[0]!);
    expect(board.top()).toBe(first);
  });
});
