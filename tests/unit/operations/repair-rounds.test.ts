import { expect, it } from 'vitest';
import { repairRounds } from '../../../pipelines/operations/repair-rounds.ts';

/** Faults that are mended one a round, until `stuck`. */
function faulty(faults: number, { stuck = 0 } = {}) {
  const rounds: boolean[] = [];
  let left = faults;
  const round = async ({ compareOnly }: { readonly compareOnly: boolean }) => {
    rounds.push(compareOnly);
    const report = left;
    const again = !compareOnly && left > stuck;
    if (again) left--;
    return { report, done: again ? [`mended ${report}`] : [], again };
  };
  return { round, rounds };
}

it('compares again after every repair, and ends with a comparison that mended nothing', async () => {
  const { round, rounds } = faulty(2);
  expect(await repairRounds(4, round)).toEqual({ before: 2, after: 0, done: ['mended 2', 'mended 1'] });
  expect(rounds).toEqual([false, false, false]);
});

it('only looks when nothing is wrong', async () => {
  const { round, rounds } = faulty(0);
  expect(await repairRounds(4, round)).toEqual({ before: 0, after: 0, done: [] });
  expect(rounds).toEqual([false]);
});

it('ends where nothing can be mended', async () => {
  const { round } = faulty(3, { stuck: 2 });
  expect(await repairRounds(4, round)).toEqual({ before: 3, after: 2, done: ['mended 3'] });
});

it('is bounded, and says what is left', async () => {
  const { round, rounds } = faulty(9);
  expect(await repairRounds(2, round)).toEqual({ before: 9, after: 7, done: ['mended 9', 'mended 8'] });
  expect(rounds).toEqual([false, false, true]);
});
