import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMicros } from '../../../engine/avro/timestamp.ts';
import { OperatorEnvelopes } from '../../../pipelines/capture/operator-envelope.ts';
import { engagementChangeDecoder } from '../../../pipelines/engagement/codec/cdc.ts';
import { CDC_EVENTS } from '../../../pipelines/engagement/topics.ts';
import { avscType, envelopeSchema, eventColumns, schemasById } from './debezium.ts';
import { type EventRow, eventRow } from './event-rows.ts';

const KEY = {
  type: 'record',
  name: 'Key',
  namespace: 'cdc.public.engagement_events',
  fields: [
    { name: 'content_id', type: 'string' },
    { name: 'id', type: { type: 'long', 'connect.default': 0 }, default: 0 },
  ],
} as const;
const ADDED = [
  { name: 'score', type: 'double' },
  { name: 'long', type: ['null', 'long'], default: null },
  { name: 'kind', type: 'string', default: 'plain' },
] as const;
const VALUE = envelopeSchema('engagement_events', [...eventColumns, ...ADDED]);

const registry = (subjects: Readonly<Record<string, { readonly id: number; readonly text: string }>>) => ({
  latest: async (name: string) => subjects[name] ?? null,
});
const envelopes = OperatorEnvelopes.open(
  registry({
    'cdc.public.engagement_events-key': { id: 6, text: JSON.stringify(KEY) },
    'cdc.public.engagement_events-value': { id: 7, text: JSON.stringify(VALUE) },
  }),
  CDC_EVENTS,
);

const rowOf = (row: EventRow) => ({
  id: row.id,
  content_id: row.contentId,
  user_id: row.userId,
  event_type: row.eventType,
  event_ts: row.eventTs,
  duration_ms: row.durationMs,
  device: row.device,
});
const lsn = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

describe('an operator record', () => {
  it('is read by the decoder of captured records as the change that it is', async () => {
    await fc.assert(
      fc.asyncProperty(eventRow, lsn, fc.constantFrom('upsert', 'delete'), async (row, position, op) => {
        const { value } = (await envelopes).encode({ op, row: rowOf(row), lsn: position, timeMs: 1_767_322_000_123 });
        const decoder = engagementChangeDecoder(schemasById({ 7: VALUE }));
        await decoder.prepare([value]);
        const change = decoder.decode(value);
        expect(change).toMatchObject({
          op: op === 'delete' ? 'd' : 'r',
          lsn: position,
          xid: 0n,
          commitTsMs: 1_767_322_000_123,
          snapshot: 'incremental',
        });
        const [there, gone] = op === 'delete' ? [change.before, change.after] : [change.after, change.before];
        expect(gone).toBeNull();
        expect(there).toMatchObject({
          id: row.id,
          contentId: row.contentId,
          eventTsMicros: parseMicros(Buffer.from(row.eventTs), 0, row.eventTs.length),
          durationMs: row.durationMs,
        });
      }),
    );
  });

  it('is what another Avro library reads under the registered schemas, columns of later versions included', async () => {
    const row = {
      ...rowOf(fc.sample(eventRow, { numRuns: 1, seed: 1 })[0]!),
      id: 2n ** 60n,
      score: 1.5,
      raw_payload: '{}',
    };
    const { key, value } = (await envelopes).encode({ op: 'upsert', row, lsn: 5n, timeMs: 1 });
    expect([key.readInt32BE(1), value.readInt32BE(1)]).toEqual([6, 7]);
    expect(avscType(KEY).fromBuffer(key.subarray(5))).toMatchObject({ content_id: row.content_id, id: 2n ** 60n });
    const read = JSON.parse(
      JSON.stringify(avscType(VALUE).fromBuffer(value.subarray(5)), (_, item: unknown) =>
        typeof item === 'bigint' ? String(item) : item,
      ),
    );
    const after = read.after['cdc.public.engagement_events.Value'];
    expect(after).toMatchObject({ score: 1.5, long: null, kind: 'plain', raw_payload: { string: '{}' } });
    expect(read.source).toMatchObject({ table: 'engagement_events', lsn: { long: '5' }, txId: null });
  });

  it('leaves what a deleted row is not known to have at its default', async () => {
    const row = rowOf(fc.sample(eventRow, { numRuns: 1, seed: 2 })[0]!);
    const { value } = (await envelopes).encode({ op: 'delete', row, lsn: 5n, timeMs: 1 });
    const read = avscType(VALUE).fromBuffer(value.subarray(5)) as { before: Record<string, Record<string, unknown>> };
    expect(read.before['cdc.public.engagement_events.Value']).toMatchObject({
      score: 0,
      kind: 'plain',
      raw_payload: null,
    });
  });

  it('is refused while nothing was captured', async () => {
    await expect(OperatorEnvelopes.open(registry({}), CDC_EVENTS)).rejects.toMatchObject({
      code: 'CAPTURED_SCHEMA_MISSING',
    });
  });
});
