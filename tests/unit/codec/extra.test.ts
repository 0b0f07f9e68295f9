/** Columns that nobody here knows: the same values give the same text, whatever else happens to the table. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { engagementChangeDecoder } from '../../../pipelines/engagement/codec/cdc.ts';
import { avscType, envelopeSchema, eventColumns, framed, plainSource, schemasById } from './debezium.ts';

const row = {
  id: 1n,
  content_id: 'c',
  user_id: 'u',
  event_type: 'play',
  event_ts: '2026-01-02T03:04:05.000000Z',
  duration_ms: null,
  device: null,
  raw_payload: { string: '{"left":"behind"}' },
};
const rest = { source: plainSource, transaction: null, ts_ms: null, ts_us: null, ts_ns: null };

interface Column {
  readonly name: string;
  readonly type: unknown;
  readonly value: unknown;
}

/** What is carried of a row of a table with these columns besides our own, in front of them or behind. */
async function extraOf(added: readonly Column[], { op = 'c', front = false } = {}): Promise<string | null> {
  const columns = added.map(({ name, type }) => ({ name, type }));
  const schema = envelopeSchema(
    'engagement_events',
    front ? [...columns, ...eventColumns] : [...eventColumns, ...columns],
  );
  const values = Object.fromEntries(added.map(({ name, value }) => [name, value]));
  const image = { 'cdc.public.engagement_events.Value': { ...row, ...values } };
  const [before, after] = op === 'd' ? [image, null] : [null, image];
  const bytes = framed(7, avscType(schema).toBuffer({ before, after, op, ...rest }));
  const decoder = engagementChangeDecoder(schemasById({ 7: schema }));
  await decoder.prepare([bytes]);
  return decoder.decode(bytes).extra;
}

const text = (name: string, value: string | null): Column => ({
  name,
  type: ['null', 'string'],
  value: value === null ? null : { string: value },
});

describe('carried columns', () => {
  it('are none of a table as the migrations made it, the payload left behind', async () => {
    expect(await extraOf([])).toBeNull();
  });

  it('are sorted by name, wherever they stand in the table', async () => {
    const columns = [text('b', 'x'), { name: 'a', type: 'long', value: 2n ** 60n }, text('_c', '')];
    const expected = '{"_c":"","a":1152921504606846976,"b":"x"}';
    for (const some of [columns, columns.toReversed()]) {
      for (const front of [true, false]) expect(await extraOf(some, { front })).toBe(expected);
    }
  });

  it('do not tell a column that is NULL from one that is not there', async () => {
    expect(await extraOf([text('a', null), text('b', null)])).toBeNull();
    expect(await extraOf([text('a', null), text('b', 'x')])).toBe(await extraOf([text('b', 'x')]));
  });

  it('are of no interest for a row that is gone', async () => {
    expect(await extraOf([text('a', 'x')], { op: 'd' })).toBeNull();
  });

  it('keep a name that means something to JavaScript', async () => {
    expect(await extraOf([text('__proto__', 'x'), text('constructor', 'y')])).toBe(
      '{"__proto__":"x","constructor":"y"}',
    );
  });

  it('are read back as they were written', async () => {
    const texts = fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.string({ unit: 'binary', maxLength: 30 }), {
      minKeys: 1,
    });
    const known = new Set<string>([...eventColumns.map(({ name }) => name)]);
    await fc.assert(
      fc.asyncProperty(texts, async (values) => {
        const columns = Object.entries(values).filter(([name]) => !known.has(name));
        fc.pre(columns.length > 0);
        const extra = await extraOf(columns.map(([name, value]) => text(name, value)));
        expect(JSON.parse(extra!)).toEqual(Object.fromEntries(columns));
      }),
      { seed: 20260102, numRuns: 50 },
    );
  });
});
