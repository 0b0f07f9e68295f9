/** What the engagement pipeline asks of capture. */
import type { CapturedTable } from '../../connectors/debezium/config.ts';

export const CONTENT_TABLE = { name: 'public.content' } as const satisfies CapturedTable;

/** Everything about one content is in one partition. Content first in the key, so that the key says where the row lives. */
export const EVENTS_TABLE = {
  name: 'public.engagement_events',
  key: ['content_id', 'id'],
  routeBy: 'content_id',
} as const satisfies CapturedTable;

/** An event refers to its content: a snapshot reads contents first. */
export const ENGAGEMENT_TABLES: readonly CapturedTable[] = [CONTENT_TABLE, EVENTS_TABLE];
