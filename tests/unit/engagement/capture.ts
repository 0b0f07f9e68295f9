/** The bytes that Debezium writes for a change of either table, and bytes that it never would. */
import type { AvroSchema } from '../../../engine/avro/schema.ts';
import { avscType, contentColumns, envelopeSchema, eventColumns, framed, plainSource } from '../codec/debezium.ts';
import { type ContentFields, contentIdOf, type EventRow, type Garbage, type SourceBlock } from './rows.ts';

const EVENT_SCHEMA = 11;
const CONTENT_SCHEMA = 12;
/** Envelopes of a table without event_type. */
const LACKING_SCHEMA = 13;
/** Envelopes of a table that has been altered: a column added, integers widened. */
const EVOLVED_SCHEMA = 14;
const EVOLVED_CONTENT_SCHEMA = 15;
const UNREGISTERED_SCHEMA = 99;

const evolvedEvent = [
  { name: 'campaign', type: ['null', 'string'], default: null },
  ...eventColumns.map((column) =>
    column.name === 'duration_ms' ? { ...column, type: ['null', 'long'], default: null } : column,
  ),
];
const evolvedContent = contentColumns.map((column) =>
  column.name === 'length_seconds' ? { ...column, type: ['null', 'long'], default: null } : column,
);

/** The registry's schemas by id. */
export const CAPTURE_SCHEMAS: Readonly<Record<number, AvroSchema>> = {
  [EVENT_SCHEMA]: envelopeSchema('engagement_events', eventColumns),
  [CONTENT_SCHEMA]: envelopeSchema('content', contentColumns),
  [LACKING_SCHEMA]: envelopeSchema(
    'engagement_events',
    eventColumns.filter(({ name }) => name !== 'event_type'),
  ),
  [EVOLVED_SCHEMA]: envelopeSchema('engagement_events', evolvedEvent),
  [EVOLVED_CONTENT_SCHEMA]: envelopeSchema('content', evolvedContent),
};

const eventType = avscType(CAPTURE_SCHEMAS[EVENT_SCHEMA]!);
const contentType = avscType(CAPTURE_SCHEMAS[CONTENT_SCHEMA]!);
const evolvedType = avscType(CAPTURE_SCHEMAS[EVOLVED_SCHEMA]!);
const evolvedContentType = avscType(CAPTURE_SCHEMAS[EVOLVED_CONTENT_SCHEMA]!);
const lackingType = avscType(CAPTURE_SCHEMAS[LACKING_SCHEMA]!);

export type CaptureOp = 'c' | 'u' | 'd' | 'r';

/** A change of engagement_events. */
export function eventEnvelope(
  before: EventRow | null,
  after: EventRow | null,
  op: CaptureOp,
  block: SourceBlock,
): Buffer {
  const evolved = [before, after].some((row) => row !== null && needsAltered(row));
  const rows = { before: before && eventValue(before, evolved), after: after && eventValue(after, evolved) };
  const value = { ...rows, ...envelope(op, block, 'engagement_events') };
  return evolved
    ? framed(EVOLVED_SCHEMA, evolvedType.toBuffer(value))
    : framed(EVENT_SCHEMA, eventType.toBuffer(value));
}

/** A change of content; what was before is of no interest. */
export function contentEnvelope(
  content: ContentFields & { readonly id: string },
  op: CaptureOp,
  block: SourceBlock,
): Buffer {
  const evolved = !inInt(content.lengthSeconds);
  const length = evolved ? { long: BigInt(content.lengthSeconds!) } : { int: content.lengthSeconds };
  const row = {
    'cdc.public.content.Value': {
      id: content.id,
      slug: content.slug,
      title: content.title,
      content_type: content.contentType,
      length_seconds: content.lengthSeconds === null ? null : length,
      publish_ts: '2026-01-01T00:00:00.000000Z',
    },
  };
  const before = op === 'r' ? null : row;
  const value = { before, after: row, ...envelope(op, block, 'content') };
  if (evolved) return framed(EVOLVED_CONTENT_SCHEMA, evolvedContentType.toBuffer(value));
  return framed(CONTENT_SCHEMA, contentType.toBuffer(value));
}

/** A value that no row can be read from, and the reason; a tombstone has none. */
export function garbage(
  kind: Garbage,
  content: number,
  block: SourceBlock,
): { readonly reason: string | null; readonly value: Buffer | null } {
  const row: EventRow = {
    id: 5n,
    content,
    user: 1,
    eventType: 'play',
    eventTs: '2026-01-02T03:04:05.000000Z',
    eventMicros: Date.UTC(2026, 0, 2, 3, 4, 5) * 1000,
    durationMs: 5,
    device: null,
    campaign: null,
    payload: 0,
  };
  const whole = { before: null, after: eventValue(row), ...envelope('c', block, 'engagement_events') };
  const good = eventType.toBuffer(whole);
  const all: Readonly<Record<Garbage, { readonly reason: string | null; readonly value: Buffer | null }>> = {
    noise: { reason: 'UNDECODABLE', value: Buffer.from([1, 2, 3]) },
    truncated: { reason: 'UNDECODABLE', value: framed(EVENT_SCHEMA, good.subarray(0, good.length >> 1)) },
    schema: { reason: 'UNKNOWN_SCHEMA', value: framed(UNREGISTERED_SCHEMA, good) },
    field: { reason: 'MISSING_FIELD', value: framed(LACKING_SCHEMA, lackingType.toBuffer(whole)) },
    row: { reason: 'MISSING_FIELD', value: framed(EVENT_SCHEMA, eventType.toBuffer({ ...whole, after: null })) },
    operation: { reason: 'UNDECODABLE', value: framed(EVENT_SCHEMA, eventType.toBuffer({ ...whole, op: 't' })) },
    tombstone: { reason: null, value: null },
  };
  return all[kind];
}

const inInt = (value: number | null): boolean => value === null || (value >= -(2 ** 31) && value < 2 ** 31);

/** Whether the table as it first was could not hold the row. */
const needsAltered = ({ campaign, durationMs }: EventRow): boolean => campaign !== null || !inInt(durationMs);

function eventValue(row: EventRow, evolved = false): unknown {
  const duration = evolved ? { long: BigInt(row.durationMs ?? 0) } : { int: row.durationMs };
  return {
    'cdc.public.engagement_events.Value': {
      id: row.id,
      content_id: contentIdOf(row.content),
      user_id: `user-${row.user}`,
      event_type: row.eventType,
      event_ts: row.eventTs,
      duration_ms: row.durationMs === null ? null : duration,
      device: row.device === null ? null : { string: row.device },
      raw_payload: { string: `{"n":${row.payload}}` },
      campaign: row.campaign === null ? null : { string: row.campaign },
    },
  };
}

function envelope(op: string, { lsn, xid, commitTsMs }: SourceBlock, table: string): object {
  return {
    source: {
      ...plainSource,
      table,
      ts_ms: BigInt(commitTsMs),
      snapshot: { string: op === 'r' ? 'incremental' : 'false' },
      txId: { long: op === 'r' ? 1n : xid },
      lsn: { long: lsn },
    },
    transaction: null,
    op,
    ts_ms: { long: BigInt(commitTsMs) },
    ts_us: null,
    ts_ns: null,
  };
}
