import { describe, expect, it } from 'vitest';
import { Suspects } from '../../../pipelines/prices/reconcile/suspects.ts';

const differs = (...keys: readonly string[]) =>
  new Map(keys.map((key) => [key, { bucket: 'b', row: key, postgres: 'x', sink: 'y' }]));

/** A look at which these keys differ, with these versions. */
const look = (keys: readonly string[], versions: Readonly<Record<string, string>>) => ({
  differing: differs(...keys),
  versionOf: (key: string) => versions[key],
});

describe('what differs at the first look', () => {
  it('is different when the same version still differs, equal when it does not, and open while it moves', () => {
    const suspects = new Suspects(10);
    suspects.suspect(look(['wrong', 'late', 'moving', 'missing'], { wrong: '1', late: '1', moving: '1' }));
    expect(suspects.report(4)).toMatchObject({ result: 'unknown', differenceCount: 0 });
    suspects.decide(look(['wrong', 'moving', 'missing'], { wrong: '1', late: '2', moving: '2' }));
    expect([...suspects.open]).toEqual(['moving']);
    expect(suspects.findings.differences.map(({ row }) => row)).toEqual(['wrong', 'missing']);
    suspects.decide(look([], { moving: '2' }));
    expect(suspects.report(4)).toMatchObject({ result: 'different', differenceCount: 2, problem: null });
  });

  it('is unknown, never equal, when it moved with every snapshot', () => {
    const suspects = new Suspects(10);
    suspects.suspect(look(['moving'], { moving: '1' }));
    for (const version of ['2', '3', '4']) suspects.decide(look(['moving'], { moving: version }));
    expect(suspects.report(4).result).toBe('unknown');
    expect(suspects.report(4).problem).toContain('1 changed with each of 4 snapshots');
  });

  it('is decided only by a look that covered it, and may be explained', () => {
    const suspects = new Suspects(10);
    suspects.suspect(look(['a', 'b'], {}));
    suspects.decide({ ...look([], {}), covers: (key) => key === 'b' });
    expect([...suspects.open]).toEqual(['a']);
    suspects.decide({ ...look(['a'], {}), explanation: () => 'WHY' });
    expect(suspects.report(4)).toMatchObject({ result: 'equal', deadLettered: [{ row: 'a', reason: 'WHY' }] });
  });
});
