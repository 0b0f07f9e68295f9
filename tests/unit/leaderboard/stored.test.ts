import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyPane, storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';
import { averagePctBp, isEmptied } from '../../../pipelines/engagement/leaderboard/sums.ts';

const figure = fc.oneof(fc.nat(300), fc.maxSafeNat());

describe('stored values', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.tuple(figure, figure, figure, figure, figure, figure, figure), (values) => {
        const [events, plays, finishes, engagementMs, engagementSamples, pctBpSum, pctSamples] = values;
        const pane = { ...emptyPane(), events, plays, finishes, engagementMs, engagementSamples, pctBpSum, pctSamples };
        expect(storedCodec.decode(storedCodec.encode(pane, '1h|0'), '1h|0')).toEqual(pane);
      }),
      { seed: 5, numRuns: 300 },
    );
    const info = { kind: 'content', lsn: 2n ** 60n, slug: 'a "b"', title: 'é\0', contentType: 'video' } as const;
    expect(storedCodec.decode(storedCodec.encode(info, 'content'), 'content')).toEqual(info);
    const clock = {
      kind: 'clock',
      streamTime: 1_767_225_600_123,
      markLsn: 2n ** 62n,
      limit: 100,
      minSamples: 10,
      floor: 1_767_225_600_000,
    } as const;
    expect(storedCodec.decode(storedCodec.encode(clock, 'clock'), 'clock')).toEqual(clock);
  });

  it('are refused when cut short', () => {
    const bytes = storedCodec.encode({ ...emptyPane(), events: 300 }, '1h|0');
    expect(() => storedCodec.decode(bytes.subarray(0, 3), '1h|0')).toThrow(
      expect.objectContaining({ code: 'STORE_CORRUPT' }),
    );
  });
});

describe('sums', () => {
  it('average rounds half up', () => {
    const average = (pctBpSum: number, pctSamples: number) => averagePctBp({ ...emptyPane(), pctBpSum, pctSamples });
    expect([average(5, 2), average(4, 3), average(5, 3), average(0, 7), average(1, 0)]).toEqual([3, 1, 2, 0, null]);
  });

  it('say when more was taken off than was added', () => {
    const inconsistent = expect.objectContaining({ code: 'CHANGES_INCONSISTENT', action: 'fatal' });
    expect(isEmptied(emptyPane(), 'c')).toBe(true);
    expect(isEmptied({ ...emptyPane(), events: 1, plays: 1 }, 'c')).toBe(false);
    expect(() => isEmptied({ ...emptyPane(), events: 1, engagementMs: -1 }, 'c')).toThrow(inconsistent);
    expect(() => isEmptied({ ...emptyPane(), engagementMs: 1 }, 'c')).toThrow(inconsistent);
    expect(() => isEmptied({ ...emptyPane(), events: 1, engagementMs: 2 ** 53 }, 'c')).toThrow(inconsistent);
  });
});
