import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMicros } from '../../../engine/avro/timestamp.ts';
import { heartbeatDecoder } from '../../../pipelines/capture/envelope.ts';
import {
  contentChangeDecoder,
  engagementChangeDecoder,
  type RawEvent,
} from '../../../pipelines/engagement/codec/cdc.ts';
import {
  avscType,
  contentColumns,
  envelopeSchema,
  eventColumns,
  framed,
  plainSource,
  schemasById,
} from './debezium.ts';
import { type EventRow, eventRow, eventValue } from './event-rows.ts';

const EVENTS = envelopeSchema('engagement_events', eventColumns);
const CONTENT = envelopeSchema('content', contentColumns);
const HEARTBEAT = envelopeSchema('sluice_heartbeat', [
  { name: 'id', type: 'int' },
  { name: 'beat_at', type: 'string' },
]);
const registry = schemasById({ 7: EVENTS, 8: CONTENT, 9: HEARTBEAT, 10: '"string"' });
const eventType = avscType(EVENTS);

interface Given {
  readonly op: string;
  readonly before: EventRow | null;
  readonly after: EventRow | null;
  readonly lsn: bigint | null;
  readonly txId: bigint | null;
  readonly commitMs: number;
  readonly snapshot: string | null;
}

const optional = <T>(name: string, value: T | null) => (value === null ? null : { [name]: value });

function envelope({ op, before, after, lsn, txId, commitMs, snapshot }: Given): Buffer {
  const source = {
    ...plainSource,
    ts_ms: BigInt(commitMs),
    lsn: optional('long', lsn),
    txId: optional('long', txId),
    snapshot: optional('string', snapshot),
  };
  const value = {
    before: before === null ? null : eventValue(before),
    after: after === null ? null : eventValue(after),
    source,
    transaction: { 'event.block': { id: '771:1', total_order: 1n, data_collection_order: 1n } },
    op,
    ts_ms: null,
    ts_us: { long: 1n },
    ts_ns: { long: 2n ** 60n },
  };
  return framed(7, eventType.toBuffer(value));
}

const given: fc.Arbitrary<Given> = fc.record({
  op: fc.constantFrom('c', 'u', 'd', 'r'),
  before: fc.option(eventRow),
  after: fc.option(eventRow),
  lsn: fc.option(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n })),
  txId: fc.option(fc.bigInt({ min: 0n, max: 2n ** 40n })),
  commitMs: fc.integer({ min: 0, max: 4_102_444_800_000 }),
  snapshot: fc.option(fc.constantFrom('false', 'true', 'incremental')),
});

/** A decoded row as plain values: what its spans point at is read as Avro strings. */
function plain(row: RawEvent | null, bytes: Buffer): EventRow | null {
  if (row === null) return null;
  const string = avscType('string');
  const text = (at: { start: number; end: number }) => string.fromBuffer(bytes.subarray(at.start, at.end)) as string;
  expect(text(row.contentIdAt)).toBe(row.contentId);
  expect(avscType('long').fromBuffer(bytes.subarray(row.idAt.start, row.idAt.end))).toBe(row.id);
  return {
    id: row.id,
    contentId: row.contentId,
    userId: text(row.userIdAt),
    eventType: text(row.eventTypeAt),
    eventTs: String(row.eventTsMicros),
    durationMs: row.durationMs,
    device: row.deviceAt === null ? null : text(row.deviceAt),
  };
}

const expected = (row: EventRow | null) => {
  if (row === null) return null;
  const bytes = Buffer.from(row.eventTs);
  return { ...row, eventTs: String(parseMicros(bytes, 0, bytes.length)) };
};

describe('engagementChangeDecoder', { timeout: 60_000 }, () => {
  it('reads every change as it was captured', async () => {
    const decoder = engagementChangeDecoder(registry);
    const withBefores = engagementChangeDecoder(registry, { before: 'all' });
    await decoder.prepare([framed(7, Buffer.alloc(0))]);
    await withBefores.prepare([framed(7, Buffer.alloc(0))]);
    fc.assert(
      fc.property(given, (change) => {
        const bytes = envelope(change);
        const read = decoder.decode(bytes);
        expect(read).toMatchObject({
          op: change.op,
          // Without one (a row that an incremental snapshot read), where capture was: the second of the source's sequence.
          lsn: change.lsn ?? 26_738_368n,
          xid: change.op === 'r' ? 0n : (change.txId ?? 0n),
          commitTsMs: change.commitMs,
          snapshot: change.snapshot ?? 'false',
        });
        expect(plain(read.after, bytes)).toEqual(expected(change.after));
        expect(plain(read.before, bytes)).toEqual(change.op === 'd' ? expected(change.before) : null);
        expect(plain(withBefores.decode(bytes).before, bytes)).toEqual(expected(change.before));
      }),
      { seed: 20260102, numRuns: 1000 },
    );
  });

  it('gives null for a time that is none, and keeps the row', async () => {
    const row = { ...fc.sample(eventRow, { seed: 1, numRuns: 1 })[0]!, eventTs: 'infinity' };
    const change = { op: 'c', before: null, after: row, lsn: 1n, txId: 1n, commitMs: 1, snapshot: null };
    const decoder = engagementChangeDecoder(registry);
    const bytes = envelope(change);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes).after).toMatchObject({ id: row.id, eventTsMicros: null });
  });

  it.each(['t', 'm', ''])('refuses operation %j', async (op) => {
    const decoder = engagementChangeDecoder(registry);
    const bytes = envelope({ op, before: null, after: null, lsn: 1n, txId: 1n, commitMs: 1, snapshot: null });
    await decoder.prepare([bytes]);
    expect(() => decoder.decode(bytes)).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });

  it('calls a table without a needed column MISSING_FIELD, and what is no envelope too', async () => {
    const lacking = envelopeSchema(
      'engagement_events',
      eventColumns.filter(({ name }) => name !== 'user_id'),
    );
    const decoder = engagementChangeDecoder(schemasById({ 1: lacking, 10: '"string"' }));
    for (const id of [1, 10]) {
      const bytes = framed(id, Buffer.alloc(3));
      await decoder.prepare([bytes]);
      expect(() => decoder.decode(bytes)).toThrow(expect.objectContaining({ code: 'MISSING_FIELD' }));
    }
  });
});

describe('contentChangeDecoder', { timeout: 60_000 }, () => {
  const type = avscType(CONTENT);
  const row = { id: 'c1', slug: 's', title: 'T – ü', content_type: 'video', publish_ts: '2026-01-01T00:00:00Z' };
  const value = (length: number | null) => ({
    'cdc.public.content.Value': { ...row, length_seconds: optional('int', length) },
  });
  const change = (op: string, before: unknown, after: unknown) =>
    framed(
      8,
      type.toBuffer({
        before,
        after,
        source: plainSource,
        transaction: null,
        op,
        ts_ms: null,
        ts_us: null,
        ts_ns: null,
      }),
    );

  it('reads the columns that events are enriched with', async () => {
    const decoder = contentChangeDecoder(registry);
    const bytes = change('u', value(3), value(null));
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toMatchObject({
      op: 'u',
      after: { id: 'c1', slug: 's', title: 'T – ü', contentType: 'video', lengthSeconds: null },
      before: null,
      lsn: 26_738_368n,
      xid: 771n,
      commitTsMs: 1_767_322_000_123,
    });
  });

  it('says which content was deleted', async () => {
    const decoder = contentChangeDecoder(registry);
    const bytes = change('d', value(3), null);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toMatchObject({ op: 'd', after: null, before: { id: 'c1' } });
  });
});

describe('heartbeatDecoder', { timeout: 60_000 }, () => {
  it('reads the source clock', async () => {
    const row = { 'cdc.public.sluice_heartbeat.Value': { id: 1, beat_at: '2026-01-01T00:00:00Z' } };
    const rest = { transaction: null, op: 'u', ts_ms: null, ts_us: null, ts_ns: null };
    const bytes = framed(9, avscType(HEARTBEAT).toBuffer({ before: row, after: row, source: plainSource, ...rest }));
    const decoder = heartbeatDecoder(registry);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toEqual({ lsn: 26_738_368n, commitTsMs: 1_767_322_000_123 });
  });
});
