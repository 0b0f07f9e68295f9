import { expect, it } from 'vitest';
import { wholeMonths } from '../../../pipelines/operations/replay/warehouse.ts';

const NOW = new Date('2026-11-21T13:00:00Z');
const at = (text: string) => new Date(text);

it.each([
  ['2026-01-31T23:59:59Z', '2026-02-01T00:00:00Z', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'],
  ['2026-01-31T23:59:59Z', '2026-02-01T00:00:00.001Z', '2026-01-01T00:00:00Z', '2026-03-01T00:00:00Z'],
  ['2025-12-01T00:00:00Z', '2025-12-31T00:00:00Z', '2025-12-01T00:00:00Z', '2026-01-01T00:00:00Z'],
])('widens %s to %s to %s to %s', (from, to, first, last) => {
  expect(wholeMonths(at(from), at(to), NOW)).toEqual({ from: at(first), to: at(last) });
});

it('takes what is open to be open, with what is dated ahead', () => {
  expect(wholeMonths(null, null, NOW)).toBeNull();
  expect(wholeMonths(at('2026-11-01T00:00:00Z'), null, NOW)!.to).toEqual(at('2027-01-01T00:00:00Z'));
  expect(wholeMonths(null, at('2026-11-01T00:00:00Z'), NOW)!.from).toEqual(at('1970-01-01T00:00:00Z'));
});
