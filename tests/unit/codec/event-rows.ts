/** Random rows of engagement_events. */
import fc from 'fast-check';

export interface EventRow {
  readonly id: bigint;
  readonly contentId: string;
  readonly userId: string;
  readonly eventType: string;
  readonly eventTs: string;
  readonly durationMs: number | null;
  readonly device: string | null;
}

const text = fc.oneof(fc.constantFrom('play', 'click', 'ios'), fc.uuid(), fc.string({ unit: 'binary', maxLength: 80 }));

export const eventRow: fc.Arbitrary<EventRow> = fc.record({
  id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  contentId: text,
  userId: text,
  eventType: text,
  eventTs: fc
    .date({ min: new Date('1970-01-01T00:00:00Z'), max: new Date('2199-12-31T23:59:59Z'), noInvalidDate: true })
    .map((date) => date.toISOString().replace('Z', '789Z')),
  durationMs: fc.option(fc.integer()),
  device: fc.option(text),
});

/** The row as avsc wants it, in the envelope's union. */
export function eventValue(row: EventRow, namespace = 'cdc.public.engagement_events'): unknown {
  return {
    [`${namespace}.Value`]: {
      id: row.id,
      content_id: row.contentId,
      user_id: row.userId,
      event_type: row.eventType,
      event_ts: row.eventTs,
      duration_ms: row.durationMs === null ? null : { int: row.durationMs },
      device: row.device === null ? null : { string: row.device },
      raw_payload: { string: '{"a":[1,2,3]}' },
    },
  };
}
