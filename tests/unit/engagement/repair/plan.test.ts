import { expect, it } from 'vitest';
import type { Row } from '../../../../pipelines/engagement/reconcile/row.ts';
import { planRows, sameRow } from '../../../../pipelines/engagement/repair/plan.ts';

const row = (id: bigint, contentId = 'c'): Row => ({
  id,
  contentId,
  userId: 'u',
  eventType: 'play',
  eventMicros: 1n,
  durationMs: 5,
  device: null,
  slug: 's',
  title: 't',
  contentType: 'video',
  lengthSeconds: null,
  pctBp: null,
});
const differs = (id: bigint, postgres: Row | null, sink: Row | 'held' | null) => ({ id, postgres, sink });

it('tells the pipeline what both stores of rows have wrong', () => {
  const held = row(1n, 'old');
  const plan = planRows({
    clickHouseRows: [differs(1n, row(1n), held), differs(2n, row(2n), null)],
    external: [differs(1n, row(1n), held), differs(2n, row(2n), null)],
  });
  expect(plan).toEqual({
    tell: [
      { id: 1n, how: 'change', held },
      { id: 2n, how: 'change', held: null },
    ],
    warehouse: [],
    left: [],
  });
});

it('publishes again what the external topic alone has wrong, and feeds again what ClickHouse alone has wrong', () => {
  const plan = planRows({
    clickHouseRows: [differs(3n, row(3n), null)],
    external: [differs(4n, row(4n), null), differs(5n, null, row(5n)), differs(6n, row(6n), 'held')],
  });
  expect(plan).toEqual({
    tell: [
      { id: 4n, how: 'publish', held: null },
      { id: 5n, how: 'publish', held: row(5n) },
      { id: 6n, how: 'publish', held: null },
    ],
    warehouse: [3n],
    left: [],
  });
});

it('leaves a row that is to go and of which nobody knows the content', () => {
  expect(planRows({ clickHouseRows: [], external: [differs(7n, null, 'held')] })).toEqual({
    tell: [],
    warehouse: [],
    left: [7n],
  });
});

it('tells rows apart by every field, and a row from none', () => {
  expect(sameRow(row(1n), row(1n))).toBe(true);
  expect(sameRow(row(1n), { ...row(1n), title: 'other' })).toBe(false);
  expect(sameRow(row(1n), undefined)).toBe(false);
  expect(sameRow(undefined, undefined)).toBe(true);
});
