import { describe, expect, it } from 'vitest';
import { isVisible } from '../../../pipelines/engagement/reconcile/contents.ts';
import { contentText } from '../../../pipelines/engagement/reconcile/row.ts';

const NOW = Date.UTC(2026, 0, 2);
const HOUR = 3_600_000;

describe('a version of a content', () => {
  const sees = (xid: bigint, at: { xmax: bigint; inProgress?: bigint[] }, commitTsMs = NOW) =>
    isVisible({ xid, commitTsMs }, { lsn: 1n, timeMs: NOW, inProgress: [], ...at });

  // As tests/integration/reconcile/visibility.test.ts says it of the SQL.
  it.each([
    ['committed before', 702n, true],
    ['in progress', 703n, false],
    ['the first to come', 705n, false],
    ['read by a Debezium snapshot', 0n, true],
  ])('%s', (_, xid, visible) => {
    expect(sees(xid, { xmax: 705n, inProgress: [703n] })).toBe(visible);
  });

  it('is seen in a circle of 32 bits', () => {
    const round = 1n << 32n;
    const at = { xmax: 3n * round + 10n, inProgress: [3n * round - 1n] };
    expect([9n, 10n, round - 1n, round - 2n].map((xid) => sees(xid, at))).toEqual([true, false, false, true]);
  });

  it('of an hour ago is seen whatever its number', () => {
    expect(sees(705n, { xmax: 705n }, NOW - HOUR - 1)).toBe(true);
  });
});

it('tells a text from two, and nothing from the text of nothing', () => {
  const content = { slug: 'a', title: 'b', contentType: 'video', lengthSeconds: null };
  const texts = [content, { ...content, slug: 'a|1:b', title: '' }, { ...content, lengthSeconds: 0 }].map(contentText);
  expect(new Set(texts).size).toBe(3);
  expect(texts[0]).toBe('1:a|1:b|5:video|~');
});
