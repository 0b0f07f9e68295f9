/** EngagementEvent and Change as version 1 registered them: what stores of before the upgrade hold. Never changed. */
import { changeSchema } from '../../schemas/engagement/change.ts';

const optional = (name: string, type: string) => ({ name, type: ['null', type], default: null });

export const eventV1 = {
  type: 'record',
  name: 'EngagementEvent',
  namespace: 'sluice.engagement',
  fields: [
    { name: 'event_id', type: { type: 'long', js: 'bigint' } },
    { name: 'content_id', type: 'string' },
    { name: 'user_id', type: 'string' },
    { name: 'event_type', type: 'string' },
    { name: 'event_ts', type: { type: 'long', logicalType: 'timestamp-micros' } },
    optional('duration_ms', 'int'),
    optional('device', 'string'),
    { name: 'content_slug', type: 'string' },
    { name: 'content_title', type: 'string' },
    { name: 'content_type', type: 'string' },
    optional('content_length_seconds', 'int'),
    optional('engagement_pct_bp', 'long'),
    { name: 'source_lsn', type: { type: 'long', js: 'bigint' } },
    { name: 'source_commit_ts', type: { type: 'long', logicalType: 'timestamp-millis' } },
  ],
} as const;

export const changeV1 = {
  ...changeSchema,
  fields: changeSchema.fields.map((field) =>
    field.name === 'before' ? { ...field, type: ['null', eventV1] as const } : field,
  ),
};
