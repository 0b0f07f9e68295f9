/** Envelopes as the Debezium connector registers and writes them, written here by avsc. */
import avsc from 'avsc';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';

const uuid = { type: 'string', 'connect.version': 1, 'connect.name': 'io.debezium.data.Uuid' };
const json = { type: 'string', 'connect.version': 1, 'connect.name': 'io.debezium.data.Json' };
const zoned = { type: 'string', 'connect.version': 1, 'connect.name': 'io.debezium.time.ZonedTimestamp' };
const optional = (type: unknown) => ({ type: ['null', type], default: null });

const source = {
  type: 'record',
  name: 'Source',
  namespace: 'io.debezium.connector.postgresql',
  fields: [
    { name: 'version', type: 'string' },
    { name: 'connector', type: 'string' },
    { name: 'name', type: 'string' },
    { name: 'ts_ms', type: 'long' },
    {
      name: 'snapshot',
      type: [
        {
          type: 'string',
          'connect.version': 1,
          'connect.parameters': {
            allowed: 'true,first,first_in_data_collection,last_in_data_collection,last,false,incremental',
          },
          'connect.default': 'false',
          'connect.name': 'io.debezium.data.Enum',
        },
        'null',
      ],
      default: 'false',
    },
    { name: 'db', type: 'string' },
    { name: 'sequence', ...optional('string') },
    { name: 'ts_us', ...optional('long') },
    { name: 'ts_ns', ...optional('long') },
    { name: 'schema', type: 'string' },
    { name: 'table', type: 'string' },
    { name: 'txId', ...optional('long') },
    { name: 'lsn', ...optional('long') },
    { name: 'xmin', ...optional('long') },
    { name: 'origin', ...optional('string') },
    { name: 'origin_lsn', ...optional('long') },
  ],
  'connect.name': 'io.debezium.connector.postgresql.Source',
};

const transaction = {
  type: 'record',
  name: 'block',
  namespace: 'event',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'total_order', type: 'long' },
    { name: 'data_collection_order', type: 'long' },
  ],
  'connect.version': 1,
  'connect.name': 'event.block',
};

/** The envelope's schema for a table with these columns. */
export function envelopeSchema(table: string, fields: readonly unknown[]): AvroSchema {
  const namespace = `cdc.public.${table}`;
  const value = { type: 'record', name: 'Value', fields, 'connect.name': `${namespace}.Value` };
  return {
    type: 'record',
    name: 'Envelope',
    namespace,
    fields: [
      { name: 'before', ...optional(value) },
      { name: 'after', ...optional('Value') },
      { name: 'source', type: source },
      { name: 'transaction', ...optional(transaction) },
      { name: 'op', type: 'string' },
      { name: 'ts_ms', ...optional('long') },
      { name: 'ts_us', ...optional('long') },
      { name: 'ts_ns', ...optional('long') },
    ],
    'connect.version': 2,
    'connect.name': `${namespace}.Envelope`,
  } as unknown as AvroSchema;
}

export const eventColumns = [
  { name: 'id', type: { type: 'long', 'connect.default': 0 }, default: 0 },
  { name: 'content_id', type: uuid },
  { name: 'user_id', type: uuid },
  { name: 'event_type', type: 'string' },
  { name: 'event_ts', type: zoned },
  { name: 'duration_ms', ...optional('int') },
  { name: 'device', ...optional('string') },
  { name: 'raw_payload', ...optional(json) },
] as const;

export const contentColumns = [
  { name: 'id', type: uuid },
  { name: 'slug', type: 'string' },
  { name: 'title', type: 'string' },
  { name: 'content_type', type: 'string' },
  { name: 'length_seconds', ...optional('int') },
  { name: 'publish_ts', type: zoned },
] as const;

/** avsc with 64-bit longs, which are bigints on its side. */
export const bigLong = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => Number(value),
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

/** The avsc type of a schema, as independent judge: unions are wrapped, annotations that avsc does not know ignored. */
export function avscType(schema: AvroSchema): avsc.Type {
  return avsc.Type.forSchema(
    structuredClone(schema) as avsc.Schema,
    {
      wrapUnions: true,
      typeHook: (given: unknown) =>
        given === 'long' || (typeof given === 'object' && given !== null && 'type' in given && given.type === 'long')
          ? bigLong
          : undefined,
    } as Parameters<typeof avsc.Type.forSchema>[1],
  );
}

export function framed(id: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeInt32BE(id, 1);
  return Buffer.concat([head, body]);
}

/** A registry with these schemas under these ids. */
export function schemasById(schemas: Readonly<Record<number, AvroSchema | string>>): SchemaSource {
  return {
    async schemaById(id) {
      const schema = schemas[id];
      return schema === undefined ? null : typeof schema === 'string' ? schema : JSON.stringify(schema);
    },
  };
}

/** What every source block has when a test does not care. */
export const plainSource = {
  version: '3.7.0.Final',
  connector: 'postgresql',
  name: 'cdc',
  ts_ms: 1_767_322_000_123n,
  snapshot: { string: 'false' },
  db: 'sluice',
  sequence: { string: '["26738312","26738368"]' },
  ts_us: { long: 1_767_322_000_123_456n },
  ts_ns: { long: 1_767_322_000_123_456_000n },
  schema: 'public',
  table: 'engagement_events',
  txId: { long: 771n },
  lsn: { long: 26_738_368n },
  xmin: null,
  origin: null,
  origin_lsn: null,
};
