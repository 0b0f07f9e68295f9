/** How a `Change` becomes rows of ClickHouse's `engagement_changes`: −1 for what no longer counts, +1 for what does. */
import type { ClickHouseConfig } from '../../connectors/clickhouse/client.ts';
import type { Column, Value } from '../../connectors/clickhouse/native-block.ts';
import { type ClickHouseSinkOptions, clickHouseSink, type EmitRow } from '../../connectors/clickhouse/sink.ts';
import type { Sink, SinkBatch, SinkRecord } from '../../engine/sink.ts';

/** What is needed of an `EngagementEvent`. Times: `event_ts` in microseconds. */
export interface EventRow {
  readonly event_id: bigint;
  readonly content_id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly event_ts: number;
  readonly duration_ms: number | null;
  readonly device: string | null;
  readonly duration_ms_wide: number | null;
  readonly extra: string | null;
  readonly content_slug: string;
  readonly content_title: string;
  readonly content_type: string;
  readonly content_length_seconds: number | null;
  readonly content_length_seconds_wide: number | null;
  readonly engagement_pct_bp: number | null;
}

/** What is needed of a `Change`. `commit_ts` in milliseconds. */
export interface ChangeRow {
  readonly kind: 'insert' | 'update' | 'delete' | 'correct' | 'mark';
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commit_ts: number;
  readonly before: EventRow | null;
  readonly after: EventRow | null;
}

export const CHANGES_TABLE = 'engagement_changes';
/** Tells the two rows of a change apart. */
export const CHANGES_PART_COLUMN = 'sign';
/** In the order of `eventValues` and what follows it. */
export const CHANGES_COLUMNS = [
  { name: 'event_id', type: 'Int64' },
  { name: 'content_id', type: 'UUID' },
  { name: 'user_id', type: 'UUID' },
  { name: 'event_type', type: 'String' },
  { name: 'event_ts', type: 'DateTime64(6)' },
  { name: 'duration_ms', type: 'Nullable(Int64)' },
  { name: 'device', type: 'Nullable(String)' },
  { name: 'content_slug', type: 'String' },
  { name: 'content_title', type: 'String' },
  { name: 'content_type', type: 'String' },
  { name: 'content_length_seconds', type: 'Nullable(Int64)' },
  { name: 'engagement_pct_bp', type: 'Nullable(Int64)' },
  { name: 'extra', type: 'Nullable(String)' },
  { name: 'kind', type: 'String' },
  { name: 'lsn', type: 'UInt64' },
  { name: 'xid', type: 'UInt64' },
  { name: 'commit_ts', type: 'DateTime64(3)' },
] as const satisfies readonly Column[];

/** The values of an event, and of the change that it is part of: those of `CHANGES_COLUMNS`. */
export function eventValues(
  event: EventRow,
  { kind, lsn, xid, commit_ts }: Pick<ChangeRow, 'kind' | 'lsn' | 'xid' | 'commit_ts'>,
): readonly Value[] {
  return [
    event.event_id,
    event.content_id,
    event.user_id,
    event.event_type,
    event.event_ts,
    event.duration_ms ?? event.duration_ms_wide,
    event.device,
    event.content_slug,
    event.content_title,
    event.content_type,
    event.content_length_seconds ?? event.content_length_seconds_wide,
    event.engagement_pct_bp,
    event.extra,
    kind,
    lsn,
    xid,
    commit_ts,
  ];
}

/** A mark has no rows; it moves the progress alone. */
export function changeRows(record: SinkRecord<ChangeRow>, emit: EmitRow): void {
  if (record.kind === 'tombstone') return;
  const { before, after } = record.value;
  if (before !== null) emit(-1, eventValues(before, record.value));
  if (after !== null) emit(1, eventValues(after, record.value));
}

/**
 * What a batch says of the source: a mark promises that everything committed before its LSN is in front of it, and
 * that stream time has reached its commit time. Other changes promise neither. Null without a mark.
 */
export function changesProgress(
  batch: SinkBatch<ChangeRow>,
): { readonly lsn: bigint; readonly streamTimeMs: number } | null {
  for (let index = batch.records.length - 1; index >= 0; index -= 1) {
    const record = batch.records[index]!;
    if (record.kind === 'upsert' && record.value.kind === 'mark') {
      return { lsn: record.value.lsn, streamTimeMs: record.value.commit_ts };
    }
  }
  return null;
}

/** The sink of `engagement.changes`. Errors as `clickHouseSink`. */
export function engagementClickHouseSink(
  options: { readonly name: string; readonly config: ClickHouseConfig } & Pick<
    ClickHouseSinkOptions<ChangeRow>,
    'leaseMs' | 'settings' | 'now'
  >,
): Sink<ChangeRow> {
  return clickHouseSink<ChangeRow>({
    ...options,
    table: CHANGES_TABLE,
    columns: CHANGES_COLUMNS,
    partColumn: CHANGES_PART_COLUMN,
    toRows: changeRows,
    progress: changesProgress,
  });
}
