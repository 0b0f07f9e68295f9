/** The decisions of reconcile, each on hand-made figures. */
import { describe, expect, it } from 'vitest';
import { byRank, stampOf, standingOf } from '../../../pipelines/engagement/reconcile/boards.ts';
import { explains } from '../../../pipelines/engagement/reconcile/dead-letters.ts';
import { addSums, NO_SUMS, type Sums, sumsOf } from '../../../pipelines/engagement/reconcile/measures.ts';
import { periodOf, ROLLUPS, showPeriod } from '../../../pipelines/engagement/reconcile/period.ts';
import { differencesOf } from '../../../pipelines/engagement/reconcile/rollups.ts';
import { type Row, rowText, textHash, wrapped } from '../../../pipelines/engagement/reconcile/row.ts';
import { unexplained } from '../../../pipelines/engagement/reconcile/rows.ts';
import { reportLines } from '../../../pipelines/operations/reconcile/print.ts';
import {
  confirmed,
  EXIT_STATUS,
  Findings,
  unknownSink,
  verdictOf,
} from '../../../pipelines/operations/reconcile/report.ts';
import { parseSnapshot } from '../../../pipelines/operations/reconcile/snapshot.ts';

const ROW: Row = {
  id: 2n ** 60n,
  contentId: '00000000-0000-4000-8000-000000000001',
  userId: '11111111-1111-4111-8111-111111111111',
  eventType: 'play',
  eventMicros: 1_767_225_600_000_001n,
  durationMs: 1_500,
  device: 'ios',
  slug: 'a',
  title: 'A “title”',
  contentType: 'video',
  lengthSeconds: 60,
  pctBp: 250n,
};

const RULES = { minSamples: 10 };

describe('a row', () => {
  it('has a text of its own: no two fields can pass for other two', () => {
    const texts = [
      ROW,
      { ...ROW, slug: 'a|1:b', title: '' },
      { ...ROW, slug: 'a', title: 'b|' },
      { ...ROW, device: null },
      { ...ROW, device: '~' },
      { ...ROW, durationMs: null },
      { ...ROW, durationMs: 0 },
      { ...ROW, pctBp: null },
      { ...ROW, eventMicros: null },
    ].map(rowText);
    expect(new Set(texts).size).toBe(texts.length);
  });

  it('counts the length of texts in bytes, as the databases do', () => {
    expect(rowText(ROW)).toContain('|13:A “title”|');
  });

  it('is hashed to 64 bits, and sums wrap around', () => {
    // md5('') is d41d8cd98f00b204e9800998ecf8427e.
    expect(textHash('')).toBe(0xd41d8cd98f00b204n);
    expect(wrapped('-1')).toBe(2n ** 64n - 1n);
    expect(wrapped(String(2n ** 65n + 7n))).toBe(7n);
  });

  it('counts for what it is', () => {
    expect(sumsOf(ROW)).toEqual([1n, 1n, 0n, 0n, 0n, 1_500n, 1n, 250n, 1n]);
    expect(sumsOf({ ...ROW, eventType: 'click', durationMs: null, pctBp: null })).toEqual([
      1n,
      0n,
      0n,
      0n,
      1n,
      0n,
      0n,
      0n,
      0n,
    ]);
  });
});

describe('a snapshot', () => {
  it('says what is not visible', () => {
    expect(parseSnapshot('700:705:')).toEqual({ xmax: 705n, inProgress: [] });
    expect(parseSnapshot('700:4294967305:700,703')).toEqual({ xmax: 4294967305n, inProgress: [700n, 703n] });
    expect(() => parseSnapshot('700')).toThrow(TypeError);
  });
});

describe('rows that differ', () => {
  const asOf = (rows: Record<string, bigint>) => new Map(Object.entries(rows).map(([id, hash]) => [BigInt(id), hash]));

  it('are those that no change beyond the snapshot explains', () => {
    expect(unexplained(asOf({ 1: 10n, 2: 20n }), asOf({ 1: 10n, 3: 30n }), new Map())).toEqual([2n, 3n]);
  });

  it('may show the state before or after a change beyond the snapshot, or be on their way', () => {
    const log = new Map([[1n, { asOf: 10n, since: new Set([11n, 12n]) }]]);
    for (const is of [10n, 11n, 12n, 0n, 21n, 23n])
      expect(unexplained(asOf({ 1: 10n }), asOf({ 1: is }), log)).toEqual([]);
    expect(unexplained(asOf({ 1: 10n }), asOf({ 1: 13n }), log)).toEqual([1n]);
  });

  it('are found where the log itself does not lead back to Postgres', () => {
    const log = new Map([[1n, { asOf: 9n, since: new Set([11n]) }]]);
    expect(unexplained(asOf({ 1: 10n }), asOf({ 1: 11n }), log)).toEqual([1n]);
  });
});

describe('cells that differ', () => {
  const cell = { period: 0n, contentId: 'c', contentType: 'video', device: null };
  const sums = (events: bigint): Sums => NO_SUMS.map((_, index) => (index === 0 ? events : 0n));
  const cells = (events: bigint) => new Map([['c', { cell, sums: sums(events) }]]);

  it('show none of the states that the log went through', () => {
    const steps = new Map([['c', { cell, totals: [sums(2n), sums(3n), sums(1n)] }]]);
    for (const is of [7n, 8n, 6n]) expect(differencesOf(cells(5n), cells(is), steps)).toEqual([]);
    // What is shown is taken back to the snapshot.
    expect(differencesOf(cells(5n), cells(9n), steps)).toEqual([{ cell, wanted: sums(5n), is: sums(7n) }]);
  });

  it('are found on either side', () => {
    expect(differencesOf(cells(5n), new Map(), new Map())).toMatchObject([{ wanted: sums(5n), is: NO_SUMS }]);
    expect(differencesOf(new Map(), cells(5n), new Map())).toMatchObject([{ wanted: NO_SUMS, is: sums(5n) }]);
    expect(differencesOf(cells(5n), cells(5n), new Map())).toEqual([]);
  });
});

describe('boards', () => {
  const sums = (events: bigint, ms: bigint, samples: bigint, pct: bigint, pctSamples: bigint): Sums => [
    events,
    0n,
    0n,
    0n,
    0n,
    ms,
    samples,
    pct,
    pctSamples,
  ];

  it('rank by events, by seconds of contents with a duration, by the average of ten samples or more', () => {
    expect(standingOf('events', 'c', sums(0n, 0n, 0n, 0n, 0n), RULES)).toBeNull();
    expect(standingOf('events', 'c', sums(3n, 0n, 0n, 0n, 0n), RULES)).toMatchObject({ score: 3 });
    expect(standingOf('seconds', 'c', sums(3n, 0n, 0n, 0n, 0n), RULES)).toBeNull();
    expect(standingOf('seconds', 'c', sums(3n, 0n, 1n, 0n, 0n), RULES)).toMatchObject({ score: 0 });
    expect(standingOf('seconds', 'c', sums(3n, 1_234n, 1n, 0n, 0n), RULES)).toMatchObject({ score: 1.234 });
    expect(standingOf('avg_pct', 'c', sums(9n, 0n, 0n, 90n, 9n), RULES)).toBeNull();
    // 105 / 10 rounds up to 11 basis points.
    expect(standingOf('avg_pct', 'c', sums(10n, 0n, 0n, 105n, 10n), RULES)).toMatchObject({ score: 0.11, units: 11n });
  });

  it('put the higher id first where scores are the same', () => {
    const order = ['a', 'c', 'b'].map((id) => standingOf('events', id, sums(3n, 0n, 0n, 0n, 0n), RULES)!).sort(byRank);
    expect(order.map(({ contentId }) => contentId)).toEqual(['c', 'b', 'a']);
  });

  it('are compared when all partitions stand at one window and have passed the position', () => {
    const stamp = (source_lsn: string, window_end: string) => ({
      source_lsn,
      window_end,
      window_start: '0',
      changes_offset: '7',
    });
    const wanted = { partitions: 2, lsn: 100n };
    const both = (a: object, b: object) => ({
      stamps: new Map([
        [0, a],
        [1, b],
      ]) as ReadonlyMap<number, Record<string, string>>,
    });
    expect(stampOf(both(stamp('100', '9'), stamp('101', '9')), wanted)).toEqual({
      startMs: 0,
      endMs: 9,
      counted: new Map([
        [0, 7n],
        [1, 7n],
      ]),
    });
    expect(stampOf(both(stamp('99', '9'), stamp('101', '9')), wanted)).toBeNull();
    expect(stampOf(both(stamp('100', '9'), stamp('101', '10')), wanted)).toBeNull();
    expect(stampOf({ stamps: new Map([[0, stamp('100', '9')]]) }, wanted)).toBeNull();
  });
});

describe('periods', () => {
  const at = (text: string) => BigInt(Date.parse(text)) * 1_000n;
  const shown = (text: string) => ROLLUPS.map((rollup) => showPeriod(rollup, periodOf(rollup, at(text))));

  it('are hours, days and ISO weeks of UTC', () => {
    expect(shown('2026-03-01T23:59:59.999Z')).toEqual(['2026-03-01T23:00Z', '2026-03-01', '2026-02-23']);
    expect(shown('2026-03-02T00:00:00.000Z')).toEqual(['2026-03-02T00:00Z', '2026-03-02', '2026-03-02']);
  });

  it('do not begin before the epoch', () => {
    expect(shown('1970-01-01T00:30:00Z')).toEqual(['1970-01-01T00:00Z', '1970-01-01', '1970-01-01']);
    expect(shown('1970-01-05T00:00:00Z')[2]).toBe('1970-01-05');
  });
});

describe('a dead letter', () => {
  const state = { contentId: ROW.contentId, eventMicros: Number(ROW.eventMicros), durationMs: ROW.durationMs };

  it('explains the row that it would have made, and no other', () => {
    expect(explains({ id: 0n, reason: 'X', state }, ROW)).toBe(true);
    expect(explains({ id: 0n, reason: 'X', state }, { ...ROW, durationMs: 1 })).toBe(false);
    expect(explains({ id: 0n, reason: 'X', state }, undefined)).toBe(false);
    expect(explains({ id: 0n, reason: 'X', state: { ...state, eventMicros: null } }, ROW)).toBe(false);
    expect(
      explains({ id: 0n, reason: 'X', state: { ...state, eventMicros: null } }, { ...ROW, eventMicros: null }),
    ).toBe(true);
  });

  it('of a deletion explains a row that is gone; of bytes that say nothing, any', () => {
    expect(explains({ id: 0n, reason: 'X', state: null }, undefined)).toBe(true);
    expect(explains({ id: 0n, reason: 'X', state: null }, ROW)).toBe(false);
    expect(explains({ id: 0n, reason: 'X', state: 'unknown' }, ROW)).toBe(true);
  });
});

describe('the verdict', () => {
  const equal = new Findings(1).report({}, 0);
  const findings = new Findings(1);
  for (const row of ['1', '2']) findings.differs({ bucket: 'b', row, postgres: 'x', sink: null }, row);
  const different = findings.report({ 0: '5' }, 10);

  it('is different when one sink is, unknown when one could not be compared, else equal', () => {
    expect(verdictOf({ a: equal, b: equal })).toBe('equal');
    expect(verdictOf({ a: equal, b: unknownSink('away', 0) })).toBe('unknown');
    expect(verdictOf({ a: different, b: unknownSink('away', 0) })).toBe('different');
    expect(verdictOf({})).toBe('unknown');
    expect(EXIT_STATUS).toEqual({ equal: 0, different: 1, unknown: 2 });
  });

  it('holds a difference against a sink when it was there with every snapshot', () => {
    const at = (row: string) => {
      const found = new Findings(5);
      found.differs({ bucket: 'b', row, postgres: 'x', sink: null }, row);
      return { result: 'different', position: null, sinks: { s: found.report({}, 0) }, tookMs: 0 } as const;
    };
    expect(confirmed(at('1'), [at('1'), at('1')]).result).toBe('different');
    expect(confirmed(at('1'), [at('1'), at('2')])).toMatchObject({
      result: 'unknown',
      sinks: { s: { result: 'unknown' } },
    });
  });

  it('is printed with the first differences and the number of the others', () => {
    const sinks = { rows: different, redis: unknownSink('REDIS_AWAY: no', 0) };
    const text = reportLines({ result: 'different', position: '0/1', sinks, tookMs: 1_000 }).join('\n');
    expect(text).toContain('b: 1');
    expect(text).toContain('sink:     nothing');
    expect(text).toContain('and 1 more difference');
    expect(text).toContain('REDIS_AWAY: no');
    expect(addSums([1n], [2n], -1n)).toEqual([-1n]);
  });
});
