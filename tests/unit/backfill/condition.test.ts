import { describe, expect, it } from 'vitest';
import { ENGAGEMENT_BACKFILL } from '../../../pipelines/engagement/backfill/tables.ts';
import { checkedCondition, conditionOf, type RowRange } from '../../../pipelines/operations/backfill/condition.ts';
import { PRICES_BACKFILL } from '../../../pipelines/prices/backfill/tables.ts';

const COLUMNS = ENGAGEMENT_BACKFILL.engagement_events.columns;
const ALL: RowRange = { from: null, to: null, groups: [], ids: [], where: null };
const A = '00000000-0000-4000-8000-00000000000A';

describe('the condition of a range', () => {
  it('is built from typed values', () => {
    const range = {
      from: new Date('2026-01-01T00:00:00Z'),
      to: new Date('2026-01-02T00:00:00Z'),
      groups: [A],
      ids: [1n, 2n ** 60n],
      where: "device = 'ios' OR device IS NULL",
    };
    expect(conditionOf(ENGAGEMENT_BACKFILL.engagement_events, range)).toBe(
      "event_ts >= '2026-01-01T00:00:00.000Z'::timestamptz AND event_ts < '2026-01-02T00:00:00.000Z'::timestamptz" +
        ` AND content_id IN ('${A.toLowerCase()}') AND id IN (1, ${2n ** 60n}) AND (device = 'ios' OR device IS NULL)`,
    );
    expect(conditionOf(ENGAGEMENT_BACKFILL.engagement_events, ALL)).toBeNull();
    const stocks = { ...ALL, groups: ['7', '12'], where: "source = 'daily'" };
    expect(conditionOf(PRICES_BACKFILL.stock_prices, stocks)).toBe("stock_id IN (7, 12) AND (source = 'daily')");
  });

  it.each([
    ['content', { ...ALL, from: new Date(0) }, 'cannot be limited by time'],
    ['content', { ...ALL, ids: [1n] }, 'cannot be limited by id'],
    ['engagement_events', { ...ALL, groups: ["x' OR '1'='1"] }, 'is no uuid'],
  ] as const)('of %s refuses what it has no column for, or what is no value of it', (table, range, message) => {
    expect(() => conditionOf(ENGAGEMENT_BACKFILL[table], range)).toThrow(message);
  });

  it('of prices takes whole numbers for stocks, and no ids', () => {
    expect(() => conditionOf(PRICES_BACKFILL.stock_prices, { ...ALL, groups: ['1) OR (1=1'] })).toThrow(
      'no whole number',
    );
    expect(() => conditionOf(PRICES_BACKFILL.stock_prices, { ...ALL, ids: [1n] })).toThrow('cannot be limited by id');
  });
});

describe('a free condition', () => {
  it.each([
    "device = 'ios'",
    "device = 'it''s -- no comment; really' AND NOT (duration_ms > 5 OR duration_ms IS NULL)",
    "event_ts >= '2026-01-01'::timestamptz and event_type in ('play', 'pause')",
    'duration_ms BETWEEN 1 AND 2 AND id % 10 = 3 AND duration_ms * 2 - 1 <> 7',
    "device ILIKE 'a%' AND device IS DISTINCT FROM 'ab'",
    "NOT(device IN('a','b'))",
  ])('may be %s', (text) => {
    expect(checkedCondition(text, COLUMNS)).toBe(text);
  });

  it.each([
    ['1=1) OR (1=1', 'a bracket that closes what is around it'],
    ['(1=1', 'a bracket that is not closed'],
    ["device = 'x'; DROP TABLE content", '"; DROP TABLE"'],
    ['id = 1 -- and more', 'a comment'],
    ['id = 1 /* and more */', 'a comment'],
    ["pg_drop_replication_slot('sluice') IS NULL", 'pg_drop_replication_slot'],
    ['id IN (SELECT 1)', 'SELECT'],
    ["device = E'\\'' OR true", 'E, which is no column'],
    ["device = '\\' OR 1=1 --'", '"\'\\\\\' OR 1=1 -"'],
    ['device = $$x$$', '"$$x$$"'],
    ['"device" = 1', '"\\"device\\" = 1"'],
    ["'pg_class'::regclass IS NULL", 'a cast to regclass'],
    ['id(1) = 1', 'a call of id'],
    ["'1'::integer(5) = 1", 'a call of integer'],
    ['id = 1e5', '"1e5"'],
    ['', 'nothing at all'],
    ['raw_payload IS NULL', 'raw_payload'],
    ["device = 'open", '"\'open"'],
  ])('may not be %s', (text, reason) => {
    let message = '';
    try {
      checkedCondition(text, COLUMNS);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain('--where may only compare');
    expect(message).toContain(reason);
  });
});
