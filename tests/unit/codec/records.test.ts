import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import { frame } from '../../../engine/avro/framing.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';
import {
  changeDecoder,
  encodeChange,
  type LeaderboardContribution,
  leaderboardChangeDecoder,
} from '../../../pipelines/engagement/codec/change.ts';
import {
  decodeEvent,
  encodeEventValue,
  eventBodyDecoder,
  eventDecoder,
} from '../../../pipelines/engagement/codec/event.ts';
import { encodeKey, keyDecoder } from '../../../pipelines/engagement/codec/key.ts';
import { encodeLeaderboard, leaderboardDecoder } from '../../../pipelines/engagement/codec/leaderboard.ts';
import { type Change, changeSchema } from '../../../schemas/engagement/change.ts';
import { type EngagementEvent, eventSchema } from '../../../schemas/engagement/event.ts';
import { type EngagementEventKey, eventKeySchema } from '../../../schemas/engagement/event-key.ts';
import { type LeaderboardRecord, leaderboardSchema } from '../../../schemas/engagement/leaderboard-record.ts';
import { avscType, framed, schemasById } from './debezium.ts';
import { toAvsc, valuesOf } from './values.ts';

const seeded = { seed: 20260102, numRuns: 500 };

/** The public event as an earlier version may have been: without a nullable field, and with one dropped since. */
const olderEvent = {
  ...eventSchema,
  fields: [
    ...eventSchema.fields.filter(({ name }) => name !== 'device'),
    { name: 'dropped_since', type: ['null', { type: 'array', items: 'string' }], default: null },
  ],
} as AvroSchema;

const registry = schemasById({
  1: eventKeySchema,
  2: eventSchema,
  3: changeSchema,
  4: leaderboardSchema,
  5: olderEvent,
});

function encodedEvent(event: EngagementEvent | null): Buffer | null {
  if (event === null) return null;
  const writer = new ByteWriter({ chunkBytes: 64 });
  writer.begin();
  encodeEventValue(writer, event);
  return writer.take();
}

interface Codec<T> {
  readonly name: string;
  readonly id: number;
  readonly schema: AvroSchema;
  readonly values: fc.Arbitrary<T>;
  readonly encode: (writer: ByteWriter, value: T) => Buffer;
  readonly decoder: FramedDecoder<T>;
}

const codec = <T>(given: Omit<Codec<T>, 'values'>): Codec<T> => ({ ...given, values: valuesOf<T>(given.schema) });

const eventCodec = codec<EngagementEvent>({
  name: 'EngagementEvent',
  id: 2,
  schema: eventSchema,
  encode: (writer, value) => frame(writer, 2, encodedEvent(value)!),
  decoder: eventDecoder(registry),
});
const keyCodec = codec<EngagementEventKey>({
  name: 'EngagementEventKey',
  id: 1,
  schema: eventKeySchema,
  encode: (writer, { content_id, event_id }) => encodeKey(writer, 1, content_id, event_id),
  decoder: keyDecoder(registry),
});
const changeCodec = codec<Change>({
  name: 'Change',
  id: 3,
  schema: changeSchema,
  encode: (writer, { kind, lsn, xid, commit_ts, before, after }) =>
    encodeChange(writer, 3, {
      kind,
      lsn,
      xid,
      commitTsMs: commit_ts,
      before: encodedEvent(before),
      after: encodedEvent(after),
    }),
  decoder: changeDecoder(registry),
});
const leaderboardCodec = codec<LeaderboardRecord>({
  name: 'LeaderboardRecord',
  id: 4,
  schema: leaderboardSchema,
  encode: (writer, value) => encodeLeaderboard(writer, 4, value),
  decoder: leaderboardDecoder(registry),
});

function interop<T>({ name, id, schema, values, encode, decoder }: Codec<T>): void {
  describe(name, { timeout: 60_000 }, () => {
    const type = avscType(schema);
    const writer = new ByteWriter({ chunkBytes: 100 });
    beforeAll(() => decoder.prepare([framed(id, Buffer.alloc(0))]));

    it('is written byte for byte as avsc writes it, and read back', () => {
      fc.assert(
        fc.property(values, (value) => {
          const expected = framed(id, type.toBuffer(toAvsc(schema, value)));
          const bytes = encode(writer, value);
          expect(bytes.equals(expected)).toBe(true);
          expect(decoder.decode(bytes)).toEqual(value);
        }),
        seeded,
      );
    });
  });
}

interop(eventCodec);
interop(keyCodec);
interop(changeCodec);
interop(leaderboardCodec);

describe('leaderboardChangeDecoder', { timeout: 60_000 }, () => {
  it('reads what the leaderboards need of a change', async () => {
    const decoder = leaderboardChangeDecoder(registry);
    await decoder.prepare([framed(3, Buffer.alloc(0))]);
    const contribution = (
      event: EngagementEvent | null,
    ): (LeaderboardContribution & { durationMsWide: number | null }) | null =>
      event && {
        contentId: event.content_id,
        eventType: event.event_type,
        eventTsMicros: event.event_ts,
        durationMs: event.duration_ms_wide ?? event.duration_ms,
        durationMsWide: event.duration_ms_wide,
        slug: event.content_slug,
        title: event.content_title,
        contentType: event.content_type,
        pctBp: event.engagement_pct_bp,
      };
    fc.assert(
      fc.property(changeCodec.values, (change) => {
        expect(decoder.decode(changeCodec.encode(new ByteWriter({ chunkBytes: 64 }), change))).toEqual({
          kind: change.kind,
          lsn: change.lsn,
          commitTs: change.commit_ts,
          before: contribution(change.before),
          after: contribution(change.after),
        });
      }),
      seeded,
    );
  });
});

describe('an event written with an earlier version of its schema', { timeout: 60_000 }, () => {
  const older = avscType(olderEvent);
  const bytesOf = (event: EngagementEvent) => {
    const { device: _, ...rest } = event;
    const avscValue = toAvsc(
      { ...eventSchema, fields: eventSchema.fields.filter(({ name }) => name !== 'device') },
      rest,
    );
    return framed(5, older.toBuffer({ ...(avscValue as object), dropped_since: { array: ['x', 'y'] } }));
  };

  it('is read with null for what it does not have', async () => {
    const decoder = eventDecoder(registry);
    await decoder.prepare([framed(5, Buffer.alloc(0))]);
    fc.assert(
      fc.property(eventCodec.values, (event) => {
        expect(decoder.decode(bytesOf(event))).toEqual({ ...event, device: null });
      }),
      { ...seeded, numRuns: 100 },
    );
  });

  it('becomes a body of the present schema, where a present one is passed on as it is', async () => {
    const decoder = eventBodyDecoder(registry);
    await decoder.prepare([framed(5, Buffer.alloc(0)), framed(2, Buffer.alloc(0))]);
    fc.assert(
      fc.property(eventCodec.values, (event) => {
        expect(decodeEvent(decoder.decode(bytesOf(event)))).toEqual({ ...event, device: null });
        const present = framed(2, encodedEvent(event)!);
        expect(decoder.decode(present).buffer).toBe(present.buffer);
        expect(decodeEvent(decoder.decode(present))).toEqual(event);
      }),
      { ...seeded, numRuns: 100 },
    );
  });
});
