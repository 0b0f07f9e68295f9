/** Random histories of the source, and random lives of the task. */
import fc from 'fast-check';
import type { Crash, Tick } from '../../support/drive.ts';
import { type ContentFields, type EventFields, type Garbage, type Op, type Step, UNKNOWN, type When } from './rows.ts';

const HOUR_MS = 3_600_000;

const when: fc.Arbitrary<When> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ at: fc.constant('before' as const), ms: fc.integer({ min: 0, max: 9_000 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ at: fc.constant('before' as const), ms: fc.integer({ min: 0, max: 900 * HOUR_MS }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ at: fc.constant('after' as const), ms: fc.integer({ min: 0, max: 48 * HOUR_MS }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      at: fc.constant('year' as const),
      text: fc.constantFrom('1969' as const, '2200' as const, '10000' as const, 'infinity' as const),
    }),
  },
);

const eventFields: fc.Arbitrary<EventFields> = fc.record({
  user: fc.nat(2),
  eventType: fc.constantFrom('play', 'finish', 'click'),
  when,
  durationMs: fc.oneof(
    { weight: 6, arbitrary: fc.nat(5_000) },
    { weight: 2, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(-1, -2_147_483_648, 2_147_483_647, 2_147_483_648, 365 * 86_400_000) },
    { weight: 1, arbitrary: fc.constantFrom(365 * 86_400_000 + 1, Number.MAX_SAFE_INTEGER) },
  ),
  device: fc.constantFrom(null, '', 'ios', 'schreibmaschine·größer'),
  campaign: fc.constantFrom(null, '', 'mai', '"größer"'),
});

/** Few values, so that a content returns to what it was. */
export const contentFields: fc.Arbitrary<ContentFields> = fc.record({
  slug: fc.constantFrom('a', 'b'),
  title: fc.constantFrom('One', 'Zwölf'),
  contentType: fc.constantFrom('podcast', 'video'),
  lengthSeconds: fc.constantFrom(null, 0, 1, 3, 600, 2 ** 31, 2 ** 52),
});

const row = fc.nat(5);
const content = fc.nat(3);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      id: row,
      content: fc.oneof({ weight: 12, arbitrary: content }, { weight: 1, arbitrary: fc.constant(UNKNOWN) }),
      fields: eventFields,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('touch' as const), id: row }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('delete' as const), id: row }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('edit' as const), content, fields: contentFields }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('snapshot' as const), id: fc.option(row) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('redeliver' as const), id: row }) },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('operate' as const), id: row, back: fc.nat(3), seen: fc.nat(20) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('garbage' as const),
      content,
      kind: fc.constantFrom<Garbage>('noise', 'truncated', 'schema', 'field', 'row', 'operation', 'tombstone'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('heartbeat' as const) }) },
);

const step: fc.Arbitrary<Step> = fc.record({
  do: op,
  together: fc.boolean(),
  waitMs: fc.oneof({ weight: 9, arbitrary: fc.nat(1_000) }, { weight: 1, arbitrary: fc.nat(40 * HOUR_MS) }),
});

const LAST: Step = { do: { op: 'heartbeat' }, together: false, waitMs: 1_000 };

export const history: fc.Arbitrary<Step[]> = fc
  .array(step, { minLength: 1, maxLength: 60, size: 'max' })
  .map((steps) => [...steps, LAST]);

export const contents = fc.array(contentFields, { minLength: 4, maxLength: 4 });

export const crashes: fc.Arbitrary<Crash[]> = fc.array(
  fc.record({
    after: fc.integer({ min: 0, max: 3 }),
    at: fc.constantFrom<Crash['at'][]>(
      'fenced',
      'positioned',
      'restored',
      'gathered',
      'processed',
      'committed',
      'applied',
      'before-produce',
      'after-produce',
      'unknown',
    ),
    leaves: fc.constantFrom('worker' as const, 'folder' as const, 'log' as const),
  }),
  { maxLength: 6 },
);

const tick: fc.Arbitrary<Tick> = fc.record({ steps: fc.nat(6), rows: fc.nat(3), clock: fc.boolean() });

export const ticks = fc.array(tick, { minLength: 1, maxLength: 12 });
