/** Captured rows as Debezium writes them, for dead letters. */
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';

const LONG = { type: 'long', js: 'bigint' } as const;

export const CDC_KEY: AvroSchema = {
  type: 'record',
  name: 'Key',
  fields: [
    { name: 'content_id', type: 'string' },
    { name: 'id', type: LONG },
  ],
};

const ROW: AvroSchema = {
  type: 'record',
  name: 'Value',
  fields: [
    { name: 'id', type: LONG },
    { name: 'content_id', type: 'string' },
    { name: 'user_id', type: 'string' },
    { name: 'event_type', type: 'string' },
    { name: 'event_ts', type: 'string' },
    { name: 'duration_ms', type: ['null', 'int'], default: null },
    { name: 'device', type: ['null', 'string'], default: null },
  ],
};

export const CDC_VALUE: AvroSchema = {
  type: 'record',
  name: 'Envelope',
  fields: [
    { name: 'before', type: ['null', ROW], default: null },
    { name: 'after', type: ['null', 'Value'], default: null },
    {
      name: 'source',
      type: {
        type: 'record',
        name: 'Source',
        fields: [
          { name: 'ts_ms', type: 'long' },
          { name: 'lsn', type: LONG },
          { name: 'txId', type: LONG },
        ],
      },
    },
    { name: 'op', type: 'string' },
  ],
};

export interface CapturedRow {
  readonly id: bigint;
  readonly content_id: string;
  readonly user_id: string;
  readonly event_type: string;
  /** ISO 8601. */
  readonly event_ts: string;
  readonly duration_ms: number | null;
  readonly device: string | null;
}

const writeKey = compileWriter<Pick<CapturedRow, 'id' | 'content_id'>>(resolveSchema(CDC_KEY));
const writeValue = compileWriter<object>(resolveSchema(CDC_VALUE));

function framed(schemaId: number, write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter({ chunkBytes: 1024 });
  beginFrame(writer, schemaId);
  write(writer);
  return writer.take();
}

export function capturedKey(schemaId: number, row: CapturedRow): Buffer {
  return framed(schemaId, (writer) => writeKey(writer, row));
}

/** The envelope of an inserted row. */
export function capturedInsert(schemaId: number, after: CapturedRow, atMs: number): Buffer {
  const source = { ts_ms: atMs, lsn: 1n, txId: 1n };
  return framed(schemaId, (writer) => writeValue(writer, { before: null, after, source, op: 'c' }));
}
