import { describe, expect, it } from 'vitest';
import { type Backlog, reportOf, totalLag } from '../../../scripts/bench/backlog.ts';
import { renderProfile, summarise } from '../../../scripts/bench/cpu-profile.ts';
import { rateOf, rateWhile } from '../../../scripts/bench/rates.ts';

describe('rates', () => {
  const look = (atMs: number, records: number, cpuMicros: number) => ({ atMs, records, cpuMicros, lag: 0 });
  const samples = [look(1_000, 0, 500), look(2_000, 1_000, 10_500), look(4_000, 2_000, 40_500)];

  it('are from the first look to the last', () => {
    expect(rateOf(samples)).toEqual({ records: 2_000, seconds: 3, recordsPerSecond: 667, cpuMicrosPerRecord: 20 });
  });

  it('are interpolated for a part of the records', () => {
    const part = rateWhile(samples, 500, 1_500);
    expect(part).toEqual({ records: 1_000, seconds: 1.5, recordsPerSecond: 667, cpuMicrosPerRecord: 20 });
    expect(rateWhile(samples, 1_000, 2_000)?.cpuMicrosPerRecord).toBe(30);
    expect(rateWhile(samples, 1_000, 2_001)).toBeNull();
  });
});

describe('a profile', () => {
  const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 9, scriptId: '1' });
  const profile = {
    nodes: [
      { id: 1, callFrame: frame('(idle)', '') },
      { id: 2, callFrame: frame('hot', 'file:///elsewhere/a.ts') },
      { id: 3, callFrame: frame('', 'node:net') },
      { id: 4, callFrame: frame('hot', 'file:///elsewhere/a.ts') },
    ],
    samples: [2, 1, 2, 3, 4],
    timeDeltas: [1_000, 5_000, 2_000, 1_000, 1_000],
  };

  it('sums self time by function over all call paths, without idle time and without the start', () => {
    const { busyMicros, functions, files } = summarise(profile, 2_000);
    expect(busyMicros).toBe(4_000);
    expect(functions.map(({ micros, percent }) => [micros, percent])).toEqual([
      [3_000, 75],
      [1_000, 25],
    ]);
    expect(functions[0]!.what).toMatch(/^hot .*a\.ts:10$/);
    expect(functions[1]!.what).toBe('(anonymous) node:net:10');
    expect(files[1]!.what).toBe('node:net');
    expect(renderProfile(summarise(profile), 10)).toContain('500.0 µs per record');
  });
});

describe('a backlog', () => {
  const at = (behind: number, lag: number | null): Backlog => ({
    lagRecords: { a: lag, b: 1 },
    behindSeconds: { a: behind, b: 0 },
    captureBytes: 0,
  });

  it('is growing when a worker falls back further and further', () => {
    const looks = Array.from({ length: 30 }, (_, second) => at(second / 10, second));
    expect(reportOf(looks)).toMatchObject({ growing: true, endRecords: 29, start: looks[0], end: looks[29] });
  });

  it('is not growing when one look was bad', () => {
    const looks = Array.from({ length: 30 }, (_, second) => at(second === 29 ? 60 : 0.3, 5));
    expect(reportOf(looks)).toMatchObject({ growing: false, endRecords: 6 });
  });

  it('is unknown while a worker does not answer', () => {
    expect(totalLag(at(0, null))).toBeNull();
    expect(totalLag(at(0, 4))).toBe(5);
  });
});
