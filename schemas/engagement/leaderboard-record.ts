import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

const entrySchema = {
  type: 'record',
  name: 'LeaderboardEntry',
  namespace: 'sluice.engagement',
  doc: "One content's figures in one window, while it is on a board of its partition. All sums; absolute values, never increments.",
  fields: [
    { name: 'content_id', type: 'string', doc: 'UUID of the content.' },
    { name: 'slug', type: 'string', doc: 'Slug of the content.' },
    { name: 'title', type: 'string', doc: 'Title of the content.' },
    { name: 'content_type', type: 'string', doc: 'podcast, newsletter or video.' },
    { name: 'events', type: 'long', doc: 'Number of events.' },
    { name: 'plays', type: 'long', doc: 'Number of events of type play.' },
    { name: 'finishes', type: 'long', doc: 'Number of events of type finish.' },
    { name: 'engagement_ms', type: 'long', doc: 'Sum of the durations in milliseconds.' },
    { name: 'engagement_samples', type: 'long', doc: 'Number of events with a duration.' },
    { name: 'pct_bp_sum', type: 'long', doc: 'Sum of the engagement percentages in basis points.' },
    { name: 'pct_samples', type: 'long', doc: 'Number of events with an engagement percentage.' },
    {
      name: 'avg_pct_bp',
      type: ['null', 'long'],
      default: null,
      doc: 'pct_bp_sum / pct_samples, rounded half up; null without a sample.',
    },
    { name: 'ranked_events', type: 'boolean', doc: "In this partition's top 100 by events." },
    { name: 'ranked_seconds', type: 'boolean', doc: "In this partition's top 100 by engagement seconds." },
    { name: 'ranked_avg_pct', type: 'boolean', doc: "In this partition's top 100 by average engagement percentage." },
  ],
} as const satisfies DocumentedRecord;

const asOfSchema = {
  type: 'record',
  name: 'LeaderboardAsOf',
  namespace: 'sluice.engagement',
  doc: "How far one partition's boards of one window have come. Ends what changed together: who stops right behind it has a consistent partition.",
  fields: [
    { name: 'partition', type: 'int', doc: 'Partition of engagement.changes.' },
    { name: 'stream_time', type: 'long', doc: 'Newest source commit time seen: milliseconds since the epoch.' },
    { name: 'window_start', type: 'long', doc: 'First millisecond of the window, inclusive.' },
    { name: 'window_end', type: 'long', doc: 'Last millisecond of the window, exclusive.' },
    { name: 'source_lsn', type: { type: 'long', js: 'bigint' }, doc: 'Newest Postgres LSN seen.' },
    {
      name: 'changes_offset',
      type: { type: 'long', js: 'bigint' },
      doc: 'Next offset of engagement.changes: the first one not yet counted.',
    },
  ],
} as const satisfies DocumentedRecord;

/** Topic `engagement.leaderboards`. */
export const leaderboardSchema = {
  type: 'record',
  name: 'LeaderboardRecord',
  namespace: 'sluice.engagement',
  doc: 'An entry of the boards of one window, or how far they have come.',
  fields: [
    { name: 'window', type: 'string', doc: '10m, 1h, 1d or 1w.' },
    { name: 'body', type: [entrySchema, asOfSchema], doc: 'The entry or the as-of stamp.' },
  ],
} as const satisfies DocumentedRecord;

export type LeaderboardRecord = FromAvro<typeof leaderboardSchema>;
