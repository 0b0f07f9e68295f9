import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

/** Topic `engagement.events.v1`, and both sides of a `Change`. */
export const eventSchema = {
  type: 'record',
  name: 'EngagementEvent',
  namespace: 'sluice.engagement',
  doc: 'The present state of one engagement event, enriched with its content. The public contract: fields are only ever added, nullable, in front of source_lsn.',
  fields: [
    {
      name: 'event_id',
      type: { type: 'long', js: 'bigint' },
      doc: 'Primary key of the event in the source. Unique, but see the key: a row that moves to another content is another record.',
    },
    { name: 'content_id', type: 'string', doc: 'UUID of the content, lower case with dashes.' },
    { name: 'user_id', type: 'string', doc: 'UUID of the user, lower case with dashes.' },
    {
      name: 'event_type',
      type: 'string',
      doc: 'play, pause, finish or click. A string and not an enum: a new kind is no new schema.',
    },
    {
      name: 'event_ts',
      type: { type: 'long', logicalType: 'timestamp-micros' },
      doc: "When it happened at the user's: microseconds since 1970-01-01T00:00:00Z. May be days before the insert.",
    },
    {
      name: 'duration_ms',
      type: ['null', 'int'],
      default: null,
      doc: 'Engaged time in milliseconds; null when it was not measured.',
    },
    { name: 'device', type: ['null', 'string'], default: null, doc: 'What it happened on; null when not known.' },
    {
      name: 'duration_ms_wide',
      type: ['null', 'long'],
      default: null,
      doc: 'Since version 2. The duration_ms that does not fit 32 bits, where duration_ms is null; else null.',
    },
    {
      name: 'extra',
      type: ['null', 'string'],
      default: null,
      doc: 'Since version 2. Columns of the source table that this schema has no field for: a JSON object, sorted by column, without those that are NULL; null when none is left.',
    },
    { name: 'content_slug', type: 'string', doc: 'Slug of the content, as of the event or the latest correction.' },
    { name: 'content_title', type: 'string', doc: 'Title of the content, as of the event or the latest correction.' },
    { name: 'content_type', type: 'string', doc: 'podcast, newsletter or video.' },
    {
      name: 'content_length_seconds',
      type: ['null', 'int'],
      default: null,
      doc: 'Length of the content in seconds; null when it has none.',
    },
    {
      name: 'content_length_seconds_wide',
      type: ['null', 'long'],
      default: null,
      doc: 'Since version 2. The content_length_seconds that does not fit 32 bits, where content_length_seconds is null; else null.',
    },
    {
      name: 'engagement_pct_bp',
      type: ['null', 'long'],
      default: null,
      doc: 'duration_ms of the length, in basis points (10000 is 100 %), rounded half up; null when an operand is null or the length is 0. May exceed 10000.',
    },
    {
      name: 'source_lsn',
      type: { type: 'long', js: 'bigint' },
      doc: "Postgres LSN of the change that made this state (the content's change for a correction). Together with source_commit_ts the last fields: everything in front of them is the contribution.",
    },
    {
      name: 'source_commit_ts',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Commit time of that change: milliseconds since 1970-01-01T00:00:00Z.',
    },
  ],
} as const satisfies DocumentedRecord;

export type EngagementEvent = FromAvro<typeof eventSchema>;
