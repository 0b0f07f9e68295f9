import { expect, it } from 'vitest';
import { headStartMs } from '../../../engine/stagger.ts';

it.each([2, 4, 7, 64])('keeps %i partitions apart, by at least a third of an even distance', (partitions) => {
  const starts = Array.from({ length: partitions }, (_, partition) => headStartMs(partition, 10_000)).sort(
    (a, b) => a - b,
  );
  expect(starts[0]).toBe(0);
  const distances = starts.map((start, at) => (starts[at + 1] ?? 10_000) - start);
  expect(Math.min(...distances)).toBeGreaterThan(10_000 / partitions / 3);
});
