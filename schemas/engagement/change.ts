import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';
import { type EngagementEvent, eventSchema } from './event.ts';

/** Topic `engagement.changes`. */
export const changeSchema = {
  type: 'record',
  name: 'Change',
  namespace: 'sluice.engagement',
  doc: 'One change of one event, signed: a consumer subtracts before and adds after. A mark carries neither and says how far the source has come.',
  fields: [
    {
      name: 'kind',
      type: { type: 'enum', name: 'ChangeKind', symbols: ['insert', 'update', 'delete', 'correct', 'mark'] },
      doc: 'What happened. correct: the content changed, not the event. mark: everything Postgres committed before lsn and that belongs to this partition is in front of this record, and stream time has reached commit_ts.',
    },
    { name: 'lsn', type: { type: 'long', js: 'bigint' }, doc: 'Postgres LSN of the change; for a mark, see kind.' },
    {
      name: 'xid',
      type: { type: 'long', js: 'bigint' },
      doc: 'Top-level Postgres transaction id; 0 when it is not known (a row read by a snapshot).',
    },
    {
      name: 'commit_ts',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Commit time of the change: milliseconds since 1970-01-01T00:00:00Z.',
    },
    {
      name: 'before',
      type: ['null', eventSchema],
      default: null,
      doc: 'What counted until now and is taken off; null for an insert and a mark.',
    },
    {
      name: 'after',
      type: ['null', 'sluice.engagement.EngagementEvent'],
      default: null,
      doc: 'What counts from now on; null for a delete and a mark.',
    },
  ],
} as const satisfies DocumentedRecord;

export type Change = FromAvro<typeof changeSchema, { readonly 'sluice.engagement.EngagementEvent': EngagementEvent }>;
export type ChangeKind = Change['kind'];
