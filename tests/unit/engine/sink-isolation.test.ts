import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../engine/errors.ts';
import { type Decoded, isolate } from '../../../engine/sink-isolation.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { BAD, endOf, faults, fill, letters, runThrough, soundRows } from './sink-harness.ts';
import { OffsetTarget, RangeTarget, REFUSED } from './sink-targets.ts';

interface Outcome {
  readonly attempts: number;
  readonly written: readonly bigint[];
  readonly refused: readonly bigint[];
  /** Ranges that were written or put aside, in their order. */
  readonly ranges: readonly (readonly [from: bigint, to: bigint])[];
}

/** Takes a batch of `count` records apart whose offsets have gaps, with faults at these places. */
async function takeApart(count: number, bad: ReadonlySet<number>): Promise<Outcome> {
  const offsets = Array.from({ length: count }, (_, i) => BigInt(3 * i + 1));
  const atFault = new Set([...bad].map((i) => offsets[i]!));
  const records = offsets.map((offset) => ({ kind: 'upsert', offset, key: null, value: String(offset) }) as const);
  const at = { topic: 't', partition: 0, generation: 1 };
  const whole: Decoded<string> = { batch: { ...at, from: 0n, to: BigInt(3 * count), records }, letters: [] };
  const refusal = (part: Decoded<string>) => {
    const first = part.batch.records.find(({ offset }) => atFault.has(offset));
    if (first === undefined) return null;
    return new SluiceError(`row ${first.offset}`, { code: 'ROW_REFUSED', action: 'dead-letter' });
  };
  // The whole batch was tried by the caller.
  let attempts = 1;
  const written: bigint[] = [];
  const refused: bigint[] = [];
  const ranges: [bigint, bigint][] = [];
  await isolate(whole, refusal(whole)!, {
    attempt: async (part) => {
      attempts++;
      const error = refusal(part);
      if (error !== null) return error;
      written.push(...part.batch.records.map(({ offset }) => offset));
      ranges.push([part.batch.from, part.batch.to]);
      return null;
    },
    refuse: async (part, error) => {
      expect(error.message).toBe(`row ${part.batch.records[0]!.offset}`);
      refused.push(part.batch.records[0]!.offset);
      ranges.push([part.batch.from, part.batch.to]);
    },
  });
  return { attempts, written, refused, ranges };
}

const size = fc.integer({ min: 1, max: 600 });

describe('taking a refused batch apart', () => {
  it('writes every sound record and puts aside exactly the others, front to back without a gap', async () => {
    const cases = size.chain((count) =>
      fc.record({
        count: fc.constant(count),
        bad: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { minLength: 1, maxLength: count }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ count, bad }) => {
        const { attempts, written, refused, ranges } = await takeApart(count, new Set(bad));
        const all = Array.from({ length: count }, (_, i) => BigInt(3 * i + 1));
        const wanted = new Set(bad.map((i) => BigInt(3 * i + 1)));
        expect(refused).toEqual(all.filter((offset) => wanted.has(offset)));
        expect(written).toEqual(all.filter((offset) => !wanted.has(offset)));
        expect(ranges[0]![0]).toBe(0n);
        expect(ranges.at(-1)![1]).toBe(BigInt(3 * count));
        for (const [i, [from]] of ranges.slice(1).entries()) expect(from).toBe(ranges[i]![1]);
        expect(attempts).toBeLessThanOrEqual(2 * count + Math.ceil(Math.log2(count)) + 2);
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('finds one bad record of thousands in log2 n + 3 tries, wherever it is', async () => {
    for (const count of [1, 2, 3, 1_000, 4_096, 20_000]) {
      const most = Math.ceil(Math.log2(count)) + 3;
      for (const place of [0, 1, count >>> 1, count - 2, count - 1]) {
        if (place < 0 || place >= count) continue;
        const { attempts, written, refused } = await takeApart(count, new Set([place]));
        expect(refused).toEqual([BigInt(3 * place + 1)]);
        expect(written).toHaveLength(count - 1);
        expect(attempts, `${place} of ${count}`).toBeLessThanOrEqual(most);
      }
    }
  });
});

describe.each([
  ['pending-range', () => new RangeTarget()],
  ['target', () => new OffsetTarget()],
] as const)('a sink task with a refused batch of thousands (%s)', (_, make) => {
  it('lands all others, with a letter for each bad one and few writes, also crashed at each write', async () => {
    const values = Array.from({ length: 3_000 }, (_, i) => {
      return [`k${i % 7}`, i === 17 ? BAD : i === 1_234 ? REFUSED : String(i)] as const;
    });
    for (let crashed = -1; crashed < 16; crashed++) {
      const log = new MemoryLog();
      const records = await fill(log, [{ records: values, outcome: 'committed' }]);
      const target = make();
      const crashes = crashed < 0 ? [] : [{ at: 'written' as const, after: crashed }];
      await runThrough(log, target, { crashes, end: endOf(records), maxRecords: 10_000 });
      expect(target.violations).toEqual([]);
      expect(target.rows).toEqual(soundRows(records));
      expect(letters(log)).toEqual(faults(records));
      const most = Math.ceil(Math.log2(3_000)) + 3;
      expect(target.writes).toBeLessThanOrEqual(crashed < 0 ? most : 2 * most);
    }
  });
});
