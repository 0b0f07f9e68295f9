import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { parseMicros } from '../../../engine/avro/timestamp.ts';
import { engagementChangeDecoder, type RawEvent } from '../../../pipelines/engagement/codec/cdc.ts';
import {
  type ContentFields,
  comparableLength,
  correctableEvent,
  decodeEvent,
  encodeContentPart,
  encodeCorrectedEvent,
  encodeEvent,
  encodeEventValue,
  sameContribution,
} from '../../../pipelines/engagement/codec/event.ts';
import { encodeKey, encodeRowKey } from '../../../pipelines/engagement/codec/key.ts';
import { type EngagementEvent, eventSchema } from '../../../schemas/engagement/event.ts';
import { avscType, envelopeSchema, eventColumns, framed, plainSource, schemasById } from './debezium.ts';
import { type EventRow, eventRow, eventValue } from './event-rows.ts';
import { valuesOf } from './values.ts';

const seeded = { seed: 20260102, numRuns: 500 };
const text = fc.string({ unit: 'binary', maxLength: 60 });
const lsn = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const millis = fc.integer({ min: 0, max: 4_102_444_800_000 });

const content: fc.Arbitrary<ContentFields> = fc.record({
  slug: text,
  title: text,
  contentType: text,
  lengthSeconds: fc.option(fc.oneof(fc.nat(), fc.maxSafeNat())),
});

const inInt = (value: number | null) => value === null || (value >= -(2 ** 31) && value < 2 ** 31);

const additions = fc.record({
  content,
  extra: fc.option(text),
  pctBp: fc.option(fc.maxSafeInteger()),
  lsn,
  commitTsMs: millis,
});

type Additions = typeof additions extends fc.Arbitrary<infer T> ? T : never;

/** The event as it should be. */
function event(row: EventRow, { content, extra, pctBp, lsn, commitTsMs }: Additions): EngagementEvent {
  const time = Buffer.from(row.eventTs);
  return {
    event_id: row.id,
    content_id: row.contentId,
    user_id: row.userId,
    event_type: row.eventType,
    event_ts: parseMicros(time, 0, time.length),
    duration_ms: row.durationMs,
    device: row.device,
    duration_ms_wide: null,
    extra,
    content_slug: content.slug,
    content_title: content.title,
    content_type: content.contentType,
    content_length_seconds: inInt(content.lengthSeconds) ? content.lengthSeconds : null,
    content_length_seconds_wide: inInt(content.lengthSeconds) ? null : content.lengthSeconds,
    engagement_pct_bp: pctBp,
    source_lsn: lsn,
    source_commit_ts: commitTsMs,
  };
}

function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter({ chunkBytes: 64 });
  writer.begin();
  write(writer);
  return writer.take();
}

const bodyOf = (value: EngagementEvent) => written((writer) => encodeEventValue(writer, value));

/** Tables whose columns stand as ours do, in another order, and nullable with null last. */
const tables = {
  'in our order': eventColumns,
  reversed: eventColumns.toReversed(),
  'nullable throughout': eventColumns.map((column) =>
    Array.isArray(column.type) ? column : { name: column.name, type: [column.type, 'null'] },
  ),
};

describe.each(Object.entries(tables))('a row of a table with columns %s', { timeout: 60_000 }, (name, columns) => {
  const schema = envelopeSchema('engagement_events', columns);
  const type = avscType(schema);
  const rest = { source: plainSource, transaction: null, op: 'c', ts_ms: null, ts_us: null, ts_ns: null };

  const captured = (row: EventRow): Buffer => {
    const value = eventValue(row) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    const wrap = (key: string, given: unknown) =>
      given === null || typeof given === 'object' ? given : { [key === 'id' ? 'long' : 'string']: given };
    const after =
      name === 'nullable throughout'
        ? Object.fromEntries(
            Object.entries(value).map(([table, fields]) => [
              table,
              Object.fromEntries(Object.entries(fields).map(([key, given]) => [key, wrap(key, given)])),
            ]),
          )
        : value;
    return framed(7, type.toBuffer({ before: null, after, ...rest }));
  };

  it('is spliced into the event and its key that its values make', async () => {
    const decoder = engagementChangeDecoder(schemasById({ 7: schema }));
    await decoder.prepare([framed(7, Buffer.alloc(0))]);
    fc.assert(
      fc.property(eventRow, additions, (row, more) => {
        const bytes = captured(row);
        const raw = decoder.decode(bytes).after as RawEvent & { readonly eventTsMicros: number };
        const parts = { ...more, row: raw, bytes, content: encodeContentPart(more.content) };
        const body = written((writer) => encodeEvent(writer, parts));
        expect(body.equals(bodyOf(event(row, more)))).toBe(true);
        const key = encodeRowKey(new ByteWriter(), 1, raw, bytes);
        expect(key.equals(encodeKey(new ByteWriter(), 1, row.contentId, row.id))).toBe(true);
      }),
      seeded,
    );
  });
});

describe('encodeCorrectedEvent', { timeout: 60_000 }, () => {
  it('replaces what comes from the content and from the change, nothing else', () => {
    fc.assert(
      fc.property(eventRow, additions, additions, (row, first, second) => {
        const body = bodyOf(event(row, first));
        const read = correctableEvent(body);
        expect(read).toMatchObject({ id: row.id, contentId: row.contentId, durationMs: row.durationMs });
        const parts = { ...second, content: encodeContentPart(second.content) };
        const corrected = written((writer) => encodeCorrectedEvent(writer, body, read, parts));
        expect(decodeEvent(corrected)).toEqual(event(row, { ...second, extra: first.extra }));
      }),
      seeded,
    );
  });
});

describe('sameContribution', { timeout: 60_000 }, () => {
  const events = valuesOf<EngagementEvent>(eventSchema);

  it('looks at everything but the source position', () => {
    fc.assert(
      fc.property(events, events, fc.boolean(), (one, other, same) => {
        const { source_lsn, source_commit_ts } = other;
        const second = same ? { ...one, source_lsn, source_commit_ts } : other;
        const contribution = ({ source_lsn: _, source_commit_ts: __, ...rest }: EngagementEvent) => rest;
        const expected = JSON.stringify(contribution(one), text64) === JSON.stringify(contribution(second), text64);
        expect(sameContribution(bodyOf(one), bodyOf(second))).toBe(expected);
      }),
      seeded,
    );
  });

  it('tells a change of each single field', () => {
    fc.assert(
      fc.property(events, (one) => {
        const two: EngagementEvent = { ...one, engagement_pct_bp: one.engagement_pct_bp === null ? 0 : null };
        expect(sameContribution(bodyOf(one), bodyOf(two))).toBe(false);
        expect(sameContribution(bodyOf(one), bodyOf({ ...one, device: `${one.device}x` }))).toBe(false);
        expect(sameContribution(bodyOf(one), bodyOf({ ...one, event_id: BigInt.asIntN(64, one.event_id + 1n) }))).toBe(
          false,
        );
      }),
      seeded,
    );
  });

  it('ends the contribution where source_lsn starts', () => {
    fc.assert(
      fc.property(events, (one) => {
        const tail = written((writer) => {
          writer.bigLong(one.source_lsn);
          writer.long(one.source_commit_ts);
        });
        const body = bodyOf(one);
        expect(comparableLength(body)).toBe(body.length - tail.length);
      }),
      seeded,
    );
  });
});

const text64 = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value);
