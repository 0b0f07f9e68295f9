/**
 * Confluent framing: byte 0, schema id (int32, big-endian), Avro body.
 * https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
 */
import type { ByteWriter } from './byte-writer.ts';
import { undecodable } from './errors.ts';

export const FRAME_BYTES = 5;

/** The schema id of a framed value. Throws UNDECODABLE. */
export function schemaIdOf(value: Buffer): number {
  if (value.length < FRAME_BYTES || value[0] !== 0) throw undecodable('no magic byte and schema id in front');
  return (value[1]! << 24) | (value[2]! << 16) | (value[3]! << 8) | value[4]!;
}

/** Starts a record with its frame. */
export function beginFrame(writer: ByteWriter, schemaId: number): void {
  writer.begin();
  writer.byte(0);
  writer.int32BE(schemaId);
}

/** A body that is encoded already, with its frame in front. */
export function frame(writer: ByteWriter, schemaId: number, body: Uint8Array): Buffer {
  beginFrame(writer, schemaId);
  writer.copy(body, 0, body.length);
  return writer.take();
}
