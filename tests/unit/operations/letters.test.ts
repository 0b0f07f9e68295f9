import { describe, expect, it } from 'vitest';
import type { FetchedRun } from '../../../engine/log.ts';
import { LetterCount } from '../../../pipelines/operations/monitor/letters.ts';
import type { MonitoredPipeline } from '../../../pipelines/operations/monitor/monitored.ts';

const PIPELINE: MonitoredPipeline = {
  name: 'p',
  workers: [],
  transactional: [],
  dlq: { topic: 'p.dlq', stages: ['p.a'], reasons: ['BAD', 'WORSE'] },
  clickHouseSinks: [],
  redisSinks: [],
};

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
  it('says nothing until what was there is read, then counts from zero for every known kind', () => {
    const count = new LetterCount(PIPELINE);
    count.count(0, run(0n, [letter('p.a', 'BAD')]));
    expect(count.samples()).toEqual([]);
    count.caughtUp();
    expect(shown(count)).toEqual({ 'p.a BAD': 1, 'p.a WORSE': 0 });
  });

  it('reads on behind what it counted, and behind what retention has taken', () => {
    const count = new LetterCount(PIPELINE);
    expect(count.next(0, 5n)).toBe(5n);
    count.count(0, run(5n, [letter('p.a', 'BAD'), letter('p.a', 'BAD')]));
    expect(count.next(0, 5n)).toBe(8n);
    expect(count.next(0, 100n)).toBe(100n);
    expect(count.next(1, 0n)).toBe(0n);
  });

  it('counts a run once that a poll given up had counted already', () => {
    const count = new LetterCount(PIPELINE);
    const same = run(0n, [letter('p.a', 'BAD'), letter('p.b', 'NEW')]);
    count.count(0, same);
    count.count(0, same);
    count.caughtUp();
    expect(shown(count)).toEqual({ 'p.a BAD': 1, 'p.a WORSE': 0, 'p.b NEW': 1 });
  });

  it('bounds the series whatever a writer puts into the headers', () => {
    const count = new LetterCount(PIPELINE);
    const strange = Array.from({ length: 2_000 }, (_, i) => letter('p.x', `R${i}`));
    count.count(0, run(0n, [{}, ...strange]));
    count.caughtUp();
    expect(count.samples().length).toBeLessThanOrEqual(501);
    expect(count.samples().reduce((sum, { value }) => sum + value, 0)).toBe(2_001);
  });
});
