/** The tables of the engagement pipeline that can be read again. */
import type { BackfillTable } from '../../operations/backfill/condition.ts';
import { CONTENT_TABLE, EVENTS_TABLE } from '../capture.ts';

const CONTENT: BackfillTable = {
  name: CONTENT_TABLE.name,
  order: [],
  chunkBy: 'id',
  time: null,
  group: null,
  id: null,
  columns: ['id', 'slug', 'title', 'content_type', 'length_seconds', 'publish_ts'],
  first: [],
};

const EVENTS: BackfillTable = {
  name: EVENTS_TABLE.name,
  order: ['id'],
  // The record key (content_id, id) has no index: each chunk would sort what is left.
  chunkBy: 'id',
  time: 'event_ts',
  group: { column: 'content_id', type: 'uuid', called: 'content' },
  id: 'id',
  columns: ['id', 'content_id', 'user_id', 'event_type', 'event_ts', 'duration_ms', 'device'],
  // An event is enriched with its content, and whoever missed the one may have missed the other.
  first: [CONTENT],
};

export const ENGAGEMENT_BACKFILL: Readonly<Record<'engagement_events' | 'content', BackfillTable>> = {
  engagement_events: EVENTS,
  content: CONTENT,
};
