import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

/** Key of topic `engagement.events.v1`, and of the changes of an event. */
export const eventKeySchema = {
  type: 'record',
  name: 'EngagementEventKey',
  namespace: 'sluice.engagement',
  doc: 'Which event of which content. An event that moves to another content is a tombstone under one key and a record under another, so no order between partitions is relied on.',
  fields: [
    { name: 'content_id', type: 'string', doc: 'UUID of the content; it decides the partition.' },
    { name: 'event_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the event in the source.' },
  ],
} as const satisfies DocumentedRecord;

export type EngagementEventKey = FromAvro<typeof eventKeySchema>;
