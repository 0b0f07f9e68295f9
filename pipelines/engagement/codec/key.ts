/** EngagementEventKey. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { type EngagementEventKey, eventKeySchema } from '../../../schemas/engagement/event-key.ts';
import type { RawEvent } from './cdc.ts';

const schema = resolveSchema(eventKeySchema);

/** Encodes the key of a captured row, copied from the envelope's bytes. */
export function encodeRowKey(writer: ByteWriter, schemaId: number, row: RawEvent, bytes: Buffer): Buffer {
  beginFrame(writer, schemaId);
  writer.copy(bytes, row.contentIdAt.start, row.contentIdAt.end);
  writer.copy(bytes, row.idAt.start, row.idAt.end);
  return writer.take();
}

/** Encodes a key. */
export function encodeKey(writer: ByteWriter, schemaId: number, contentId: string, eventId: bigint): Buffer {
  beginFrame(writer, schemaId);
  writer.string(contentId);
  writer.bigLong(eventId);
  return writer.take();
}

/** Decoder of the keys of `engagement.events.v1` and `engagement.changes`. */
export function keyDecoder(source: SchemaSource): FramedDecoder<EngagementEventKey> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<EngagementEventKey>(writer, schema) });
}
