/** EngagementEvent: written by splicing the bytes of its sources, compared and corrected without being decoded. */
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileReader, compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';
import { resolveSchema, type SchemaNode } from '../../../engine/avro/resolve.ts';
import { type EngagementEvent, eventSchema } from '../../../schemas/engagement/event.ts';
import type { RawContent, RawEvent } from './cdc.ts';

const schema = resolveSchema(eventSchema);

/** The fields that an event takes from its content. */
export type ContentFields = Pick<RawContent, 'slug' | 'title' | 'contentType' | 'lengthSeconds'>;

/** `ContentFields` in Avro, as they stand in an event: made once for each version of a content. */
export type ContentPart = Buffer;

/** Encodes the content's fields of an event. The result is its own memory. */
export function encodeContentPart({ slug, title, contentType, lengthSeconds }: ContentFields): ContentPart {
  const writer = new ByteWriter({ chunkBytes: 256 });
  writer.begin();
  writer.string(slug);
  writer.string(title);
  writer.string(contentType);
  optionalLong(writer, narrow(lengthSeconds));
  optionalLong(writer, wide(lengthSeconds));
  return Buffer.from(writer.take());
}

function optionalLong(writer: ByteWriter, value: number | null): void {
  if (value === null) {
    writer.byte(0);
  } else {
    writer.byte(2);
    writer.long(value);
  }
}

/** The value, if an Avro int holds it. The contract may not widen a field (FULL_TRANSITIVE): what does not fit has its own. */
function narrow(value: number | null): number | null {
  return value === null || (value | 0) === value ? value : null;
}

/** The value, if an Avro int does not hold it. */
function wide(value: number | null): number | null {
  return value === null || (value | 0) === value ? null : value;
}

/** What makes an event: a row, its content, and the change that brought them together. */
export interface EventParts {
  /** With a time, and not a negative one: `validateEvent` was there. */
  readonly row: RawEvent & { readonly eventTsMicros: number };
  /** The buffer that the row's spans refer to. */
  readonly bytes: Buffer;
  /** The row's columns that the event has no field for. */
  readonly extra: string | null;
  readonly content: ContentPart;
  /** Percent of the content's length in basis points. */
  readonly pctBp: number | null;
  readonly lsn: bigint;
  readonly commitTsMs: number;
}

/** Writes the body of an EngagementEvent behind what the writer holds. */
export function encodeEvent(writer: ByteWriter, parts: EventParts): void {
  const { row, bytes, extra, content, pctBp, lsn, commitTsMs } = parts;
  const { idAt, contentIdAt, userIdAt, eventTypeAt, deviceAt } = row;
  if (idAt.end === contentIdAt.start && contentIdAt.end === userIdAt.start && userIdAt.end === eventTypeAt.start) {
    // The table's columns are in the order of the event's fields, and so are their bytes.
    writer.copy(bytes, idAt.start, eventTypeAt.end);
  } else {
    writer.bigLong(row.id);
    writer.copy(bytes, contentIdAt.start, contentIdAt.end);
    writer.copy(bytes, userIdAt.start, userIdAt.end);
    writer.copy(bytes, eventTypeAt.start, eventTypeAt.end);
  }
  writer.long(row.eventTsMicros);
  optionalLong(writer, narrow(row.durationMs));
  if (deviceAt === null) {
    writer.byte(0);
  } else {
    writer.byte(2);
    writer.copy(bytes, deviceAt.start, deviceAt.end);
  }
  optionalLong(writer, wide(row.durationMs));
  if (extra === null) {
    writer.byte(0);
  } else {
    writer.byte(2);
    writer.string(extra);
  }
  encodeTail(writer, content, pctBp, { lsn, commitTsMs });
}

interface Source {
  readonly lsn: bigint;
  readonly commitTsMs: number;
}

function encodeTail(writer: ByteWriter, content: ContentPart, pctBp: number | null, source: Source): void {
  writer.copy(content, 0, content.length);
  optionalLong(writer, pctBp);
  writer.bigLong(source.lsn);
  writer.long(source.commitTsMs);
}

const correctionShape = record({
  id: { from: 'event_id', read: 'bigint' },
  contentId: { from: 'content_id', read: 'interned' },
  eventTsMicros: { from: 'event_ts', read: 'number' },
  durationMs: { from: 'duration_ms', read: nullable('number') },
  durationMsWide: { from: 'duration_ms_wide', read: nullable('number') },
  slugAt: { from: 'content_slug', read: 'stringSpan' },
});

/** What is needed of an encoded event to correct it: `slugAt.start` is where its own fields end. */
export type CorrectableEvent = Projected<typeof correctionShape>;

/** The duration, whichever field holds it. */
export function durationOf(event: Pick<CorrectableEvent, 'durationMs' | 'durationMsWide'>): number | null {
  return event.durationMs ?? event.durationMsWide;
}

const readCorrectable = compileReader(schema, correctionShape);

/** Reads an event's body (of the present schema) as far as a correction needs it. Throws UNDECODABLE. */
export function correctableEvent(body: Buffer): CorrectableEvent {
  return readCorrectable(body, 0, body.length);
}

const readSourceLsn = compileReader(schema, record({ lsn: { from: 'source_lsn', read: 'bigint' } }));

/** Position of the change that an event's body comes from. */
export function sourceLsn(body: Buffer): bigint {
  return readSourceLsn(body, 0, body.length).lsn;
}

/** Whether an event's body has a content's fields. */
export function hasContent(body: Buffer, { slugAt }: CorrectableEvent, content: ContentPart): boolean {
  const end = slugAt.start + content.length;
  return end <= body.length && body.compare(content, 0, content.length, slugAt.start, end) === 0;
}

/** Writes the same event, from the same change, with what its content's fields and percent are by other logic. */
export function encodeRevisedEvent(
  writer: ByteWriter,
  body: Buffer,
  event: CorrectableEvent,
  { content, pctBp }: Pick<EventParts, 'content' | 'pctBp'>,
): void {
  writer.copy(body, 0, event.slugAt.start);
  writer.copy(content, 0, content.length);
  optionalLong(writer, pctBp);
  writer.copy(body, comparableLength(body), body.length);
}

/** Writes the same event with another content's fields. `body` is what `event` was read from. */
export function encodeCorrectedEvent(
  writer: ByteWriter,
  body: Buffer,
  event: CorrectableEvent,
  { content, pctBp, lsn, commitTsMs }: Omit<EventParts, 'row' | 'bytes' | 'extra'>,
): void {
  writer.copy(body, 0, event.slugAt.start);
  encodeTail(writer, content, pctBp, { lsn, commitTsMs });
}

/**
 * How many bytes of an event's body are its contribution: everything in front of source_lsn and source_commit_ts, its
 * last two fields. Every byte of a number but its last has the high bit set, and the field in front ends with a number.
 */
export function comparableLength(body: Buffer): number {
  let at = body.length - 2;
  while (at >= 0 && body[at]! > 127) at--;
  at--;
  while (at >= 0 && body[at]! > 127) at--;
  return at + 1;
}

/** Whether two events' bodies (of the present schema) count the same, whatever change they come from. */
export function sameContribution(a: Buffer, b: Buffer): boolean {
  const length = comparableLength(a);
  return comparableLength(b) === length && a.compare(b, 0, length, 0, length) === 0;
}

const readWhole = compileWholeReader<EngagementEvent>(schema, schema);
const writeWhole = compileWriter<EngagementEvent>(schema);

/** Decodes an event's body of the present schema. Throws UNDECODABLE. */
export function decodeEvent(body: Buffer): EngagementEvent {
  return readWhole(body, 0, body.length);
}

/** Writes the body of an event given as a value. */
export function encodeEventValue(writer: ByteWriter, event: EngagementEvent): void {
  writeWhole(writer, event);
}

/** Decoder of topic `engagement.events.v1`. */
export function eventDecoder(source: SchemaSource): FramedDecoder<EngagementEvent> {
  const compile = (writer: SchemaNode) => compileWholeReader<EngagementEvent>(writer, schema);
  return new FramedDecoder({ source, compile });
}

/**
 * Decoder of topic `engagement.events.v1` to bodies of the present schema, to be stored and spliced: a view of the
 * value when it was written with this schema, else written anew.
 */
export function eventBodyDecoder(source: SchemaSource): FramedDecoder<Buffer> {
  const present = JSON.stringify(schema);
  const compile = (written: SchemaNode): BodyReader<Buffer> => {
    if (JSON.stringify(written) === present) return (bytes, start, end) => bytes.subarray(start, end);
    const read = compileWholeReader<EngagementEvent>(written, schema);
    const writer = new ByteWriter({ chunkBytes: 4096 });
    return (bytes, start, end) => {
      writer.reset();
      writer.begin();
      writeWhole(writer, read(bytes, start, end));
      return Buffer.from(writer.take());
    };
  };
  return new FramedDecoder({ source, compile });
}
