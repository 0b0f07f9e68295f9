/** What a rebuild of the engagement tables of ClickHouse reads: the present state of each row, from the public topic. */
import { textCells } from '../../../connectors/clickhouse/tab-separated.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../../engine/log.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { EngagementEventKey } from '../../../schemas/engagement/event-key.ts';
import type { WarehouseReplay } from '../../operations/replay/warehouse.ts';
import { CHANGES_COLUMNS, CHANGES_TABLE, type EventRow, eventValues } from '../clickhouse-rows.ts';
import { eventDecoder } from '../codec/event.ts';
import { keyDecoder } from '../codec/key.ts';
import { CHANGES, EVENTS_V1 } from '../topics.ts';

/** Columns of `stagedRow`, in its order. */
export const STAGED_COLUMNS: readonly string[] = [
  ...CHANGES_COLUMNS.map(({ name }) => name),
  ...['sign', 'source_partition', 'source_offset', 'generation', 'version', 'is_deleted'],
];

export type State =
  | { readonly kind: 'upsert'; readonly event: EventRow & Pick<EngagementEvent, 'source_lsn' | 'source_commit_ts'> }
  | { readonly kind: 'tombstone'; readonly key: EngagementEventKey };

const NOBODY = '00000000-0000-0000-0000-000000000000';

/** A row of the staging table, TabSeparated. The place is that of the record in the public topic: of two states the later counts. */
export function stagedRow(
  state: State,
  { partition, offset }: { readonly partition: number; readonly offset: bigint },
): string {
  // Generation 0 is older than anything that a sink has written.
  const place = (sign: 1 | -1, deleted: 0 | 1) => `\t${sign}\t${partition}\t${offset}\t0\t${offset}\t${deleted}\n`;
  if (state.kind === 'upsert') {
    const { event } = state;
    const source = { kind: 'insert', lsn: event.source_lsn, xid: 0n, commit_ts: event.source_commit_ts } as const;
    return textCells(CHANGES_COLUMNS, eventValues(event, source)) + place(1, 0);
  }
  // Of a row that is gone only its key is known, and only the key counts.
  const gone: EventRow = {
    ...state.key,
    ...{ user_id: NOBODY, event_type: '', event_ts: 0, duration_ms: null, duration_ms_wide: null, device: null },
    ...{ extra: null, content_slug: '', content_title: '', content_type: '', engagement_pct_bp: null },
    ...{ content_length_seconds: null, content_length_seconds_wide: null },
  };
  const nowhere = { kind: 'delete', lsn: 0n, xid: 0n, commit_ts: 0 } as const;
  return textCells(CHANGES_COLUMNS, eventValues(gone, nowhere)) + place(-1, 1);
}

/** The engagement tables. */
export function engagementWarehouse(schemas: SchemaSource): WarehouseReplay {
  const events = eventDecoder(schemas);
  const keys = keyDecoder(schemas);
  return {
    changes: CHANGES,
    states: EVENTS_V1,
    tables: {
      log: CHANGES_TABLE,
      key: ['content_id', 'event_id'],
      time: 'event_ts',
      pipeline: 'engagement.sink.clickhouse',
      topic: CHANGES,
    },
    columns: STAGED_COLUMNS,
    prepare: async (records) => {
      await events.prepare(records.map(({ value }) => value));
      await keys.prepare(records.map(({ key }) => key));
    },
    row: ({ key, value, offset }: LogRecord, partition) => {
      if (key === null) return null;
      const state: State =
        value === null ? { kind: 'tombstone', key: keys.decode(key) } : { kind: 'upsert', event: events.decode(value) };
      return stagedRow(state, { partition, offset });
    },
  };
}
