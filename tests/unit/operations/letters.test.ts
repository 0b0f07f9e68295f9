import { describe, expect, it } from 'vitest';
import type { FetchedRun } from '../../../engine/log.ts';
import { LetterCount } from '../../../pipelines/operations/monitor/letters.ts';

/** One letter per entry, at offsets from `from`; the run ends with a control record. */
function run(from: bigint, letters: readonly Readonly<Record<string, string>>[]): FetchedRun {
  const records = letters.map((headers, i) => ({
    offset: from + BigInt(i),
    timestampMs: 0,
    key: null,
    value: null,
    headers: Object.entries(headers).map(([key, value]) => ({ key, value: Buffer.from(value) })),
  }));
  return { records, from, next: from + BigInt(letters.length) + 1n, bytes: 0 };
}
const letter = (stage: string, reason: string) => ({ 'sluice.stage': stage, 'sluice.reason': reason });
const shown = (count: LetterCount) =>
  Object.fromEntries(count.samples().map(({ labels, value }) => [`${labels.stage} ${labels.reason}`, value]));

describe('the count of letters', () => {
  it('says nothing until what was there is read', () => {
    const count = new LetterCount('p');
    count.count(0, run(0n, [letter('p.a', 'BAD')]));
    expect(count.samples()).toEqual([]);
    count.caughtUp();
    expect(shown(count)).toEqual({ 'p.a BAD': 1 });
  });

  it('shows a kind that turns up as 0 first, and one that was there at once', () => {
    const count = new LetterCount('p');
    count.count(0, run(0n, [letter('p.a', 'BAD')]));
    count.caughtUp();
    count.count(0, run(2n, [letter('p.a', 'BAD'), letter('p.a', 'NEW')]));
    const polls = Array.from({ length: 6 }, () => shown(count));
    expect(polls.map((poll) => poll['p.a NEW'])).toEqual([0, 0, 0, 0, 1, 1]);
    expect(polls.map((poll) => poll['p.a BAD'])).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it('reads on behind what it counted, and behind what retention has taken', () => {
    const count = new LetterCount('p');
    expect(count.next(0, 5n)).toBe(5n);
    count.count(0, run(5n, [letter('p.a', 'BAD'), letter('p.a', 'BAD')]));
    expect(count.next(0, 5n)).toBe(8n);
    expect(count.next(0, 100n)).toBe(100n);
    expect(count.next(1, 0n)).toBe(0n);
  });

  it('counts a run once that a poll given up had counted already', () => {
    const count = new LetterCount('p');
    const same = run(0n, [letter('p.a', 'BAD'), letter('p.b', 'NEW')]);
    count.count(0, same);
    count.count(0, same);
    count.caughtUp();
    expect(shown(count)).toEqual({ 'p.a BAD': 1, 'p.b NEW': 1 });
  });

  it('bounds the series whatever a writer puts into the headers', () => {
    const count = new LetterCount('p');
    const strange = Array.from({ length: 2_000 }, (_, i) => letter('p.x', `R${i}`));
    count.count(0, run(0n, [{}, ...strange]));
    count.caughtUp();
    expect(count.samples().length).toBeLessThanOrEqual(501);
    expect(count.samples().reduce((sum, { value }) => sum + value, 0)).toBe(2_001);
  });
});
