import { beforeEach, describe, expect, it } from 'vitest';
import { type Progress, progressOf } from '../../../scripts/support/progress.ts';

describe('progress in lines', () => {
  let nowMs: number;
  let lines: string[];
  let progress: Progress;
  beforeEach(() => {
    nowMs = 1_000_000;
    lines = [];
    progress = progressOf({ unit: 'rows', terminal: false, write: (line) => lines.push(line), nowMs: () => nowMs });
  });

  const at = (seconds: number, done: number, total: number | null, note?: string) => {
    nowMs = 1_000_000 + seconds * 1_000;
    progress.update(done, total, note);
  };

  it('says the rate and when it will be over, every five seconds', () => {
    at(0, 0, 1_000);
    at(4.9, 90, 1_000);
    at(5, 100, 1_000);
    at(10, 300, 1_000, 'chunk 3');
    expect(lines).toEqual([
      '0 of 1000 rows, 0/s',
      '100 of 1000 rows, 20/s, ETA 45 s',
      '300 of 1000 rows, 30/s, ETA 24 s (chunk 3)',
    ]);
  });

  it('counts the rate from where it began, not from nothing', () => {
    at(0, 500, 1_000);
    at(5, 600, 1_000);
    expect(lines[1]).toBe('600 of 1000 rows, 20/s, ETA 20 s');
  });

  it('promises no end when it knows none', () => {
    at(0, 0, null);
    at(5, 50, null);
    expect(lines[1]).toBe('50 rows, 10/s');
  });

  it('says nothing at its end', () => {
    at(0, 0, 10);
    progress.end();
    expect(lines).toHaveLength(1);
  });
});
