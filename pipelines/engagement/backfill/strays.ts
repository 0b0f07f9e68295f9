/** What the engagement pipeline holds of its rows: what looking for strays (operations/backfill/strays.ts) is told. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { RowRange } from '../../operations/backfill/condition.ts';
import type { HeldRows } from '../../operations/backfill/strays.ts';
import { EVENTS_TABLE } from '../capture.ts';
import { eventDecoder } from '../codec/event.ts';
import { keyDecoder } from '../codec/key.ts';
import { partitionOf } from '../partition.ts';
import { showMicros } from '../reconcile/row.ts';
import { CDC_EVENTS, EVENTS_V1 } from '../topics.ts';

export function heldEvents(schemas: SchemaSource): HeldRows<EngagementEvent> {
  const keys = keyDecoder(schemas);
  const events = eventDecoder(schemas);
  return {
    stage: 'engagement.enrich',
    captured: CDC_EVENTS,
    topic: EVENTS_V1,
    table: EVENTS_TABLE.name,
    key: ['id', 'content_id'],
    // A row that moves to another content has another key.
    identity: ['id'],
    // Each column that the table has now, time as Debezium writes it.
    select: `r.*, to_char(r.event_ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_ts`,
    prepare: async (records) => {
      await keys.prepare(records.map(({ key }) => key));
      await events.prepare(records.map(({ value }) => value));
    },
    state: ({ key, value }) => {
      if (key === null) return undefined;
      const { content_id: contentId, event_id: id } = keys.decode(key);
      return { name: `${contentId}/${id}`, row: value === null ? null : events.decode(value) };
    },
    mayBeIn,
    columns: (event) => ({
      id: event.event_id,
      content_id: event.content_id,
      user_id: event.user_id,
      event_type: event.event_type,
      event_ts: showMicros(BigInt(event.event_ts)),
      duration_ms: event.duration_ms ?? event.duration_ms_wide,
      device: event.device,
    }),
    partition: ({ content_id: contentId }, _, partitions) => partitionOf(String(contentId), partitions),
  };
}

function mayBeIn({ from, to, groups, ids }: RowRange, event: EngagementEvent): boolean {
  const { event_id: id, content_id: contentId, event_ts: micros } = event;
  return (
    (from === null || micros >= from.getTime() * 1_000) &&
    (to === null || micros < to.getTime() * 1_000) &&
    (groups.length === 0 || groups.includes(contentId)) &&
    (ids.length === 0 || ids.includes(id))
  );
}
