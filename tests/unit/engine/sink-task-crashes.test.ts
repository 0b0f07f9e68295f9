import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SinkStep } from '../../../engine/sink-task.ts';
import { type Fault, MemoryLog } from '../../support/memory-log.ts';
import {
  BAD,
  endOf,
  faults,
  fill,
  letters,
  runThrough,
  soundRows,
  type Trouble,
  type Written,
} from './sink-harness.ts';
import { BoardTarget, IMPOSSIBLE, OffsetTarget, RangeTarget, REFUSED, STAMP } from './sink-targets.ts';

const SEED = 11;

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const sound = fc.constantFrom<string | null>('1', '2', '3', null);

const withFaults = fc.oneof({ weight: 5, arbitrary: sound }, fc.constantFrom<string | null>(BAD, REFUSED, IMPOSSIBLE));

function historyOf(values: fc.Arbitrary<string | null>): fc.Arbitrary<Written[]> {
  const records = fc.array(fc.tuple(keys, values), { minLength: 1, maxLength: 12 });
  const transaction = fc.record({
    records,
    outcome: fc.constantFrom<Written['outcome']>('committed', 'committed', 'aborted'),
  });
  const last: Written = { records: [['z', `${STAMP} end`]], outcome: 'committed' };
  return fc.array(transaction, { maxLength: 6 }).map((transactions) => [...transactions, last]);
}

const crashesOf = (...places: readonly Trouble[]) =>
  fc.array(fc.record({ at: fc.constantFrom(...places), after: fc.integer({ min: 0, max: 3 }) }), { maxLength: 8 });

const STEPS: readonly SinkStep[] = ['positioned', 'gathered', 'announced', 'written', 'committed'];
const LETTER_FAULTS: readonly Fault[] = ['before-produce', 'after-produce', 'unknown'];
const maxRecords = fc.integer({ min: 1, max: 9 });
const maxRun = fc.integer({ min: 1, max: 20 });

describe('a sink task, crashed at any step', () => {
  it('gives a `pending-range` target every row once, and exactly an announced range again', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(withFaults),
        crashesOf(...STEPS, ...LETTER_FAULTS, 'before', 'half', 'after'),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new RangeTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          expect(target.violations).toEqual([]);
          expect(target.rows).toEqual(soundRows(records));
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('gives a target with its own offset every row once', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(withFaults),
        crashesOf('positioned', 'gathered', 'written', 'committed', ...LETTER_FAULTS, 'before', 'after'),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new OffsetTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          expect(target.violations).toEqual([]);
          expect(target.rows).toEqual(soundRows(records));
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('keeps a board exact that loses its data, half-writes batches, and stops at stamps', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(fc.oneof({ weight: 5, arbitrary: sound }, fc.constantFrom(BAD, IMPOSSIBLE, `${STAMP} x`))),
        crashesOf(
          'positioned',
          'gathered',
          'written',
          'committed',
          ...LETTER_FAULTS,
          'before',
          'half',
          'after',
          'lose',
        ),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new BoardTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          const board = new Map<string, string>();
          for (const { key, value } of soundRows(records)) {
            if (value === null) board.delete(key);
            else board.set(key, value);
          }
          expect(target.violations).toEqual([]);
          expect(target.board).toEqual(board);
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });
});
