/** How a `Change` becomes rows of ClickHouse's `engagement_changes`: −1 for what no longer counts, +1 for what does. */
import type { ClickHouseConfig } from '../../connectors/clickhouse/client.ts';
import { type ClickHouseSinkOptions, clickHouseSink, type EmitRow } from '../../connectors/clickhouse/sink.ts';
import {
  microsCell,
  millisCell,
  nullableNumberCell,
  nullableTextCell,
  textCell,
} from '../../connectors/clickhouse/tab-separated.ts';
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
/** In the order of `eventCells` and what follows it. */
export const CHANGES_COLUMNS = [
  'event_id',
  'content_id',
  'user_id',
  'event_type',
  'event_ts',
  'duration_ms',
  'device',
  'content_slug',
  'content_title',
  'content_type',
  'content_length_seconds',
  'engagement_pct_bp',
  'extra',
  'kind',
  'lsn',
  'xid',
  'commit_ts',
] as const;

export function eventCells(event: EventRow): string {
  return `${event.event_id}\t${textCell(event.content_id)}\t${textCell(event.user_id)}\t${textCell(event.event_type)}\t${microsCell(
    event.event_ts,
  )}\t${nullableNumberCell(event.duration_ms ?? event.duration_ms_wide)}\t${nullableTextCell(event.device)}\t${textCell(event.content_slug)}\t${textCell(
    event.content_title,
  )}\t${textCell(event.content_type)}\t${nullableNumberCell(event.content_length_seconds ?? event.content_length_seconds_wide)}\t${nullableNumberCell(
    event.engagement_pct_bp,
  )}\t${nullableTextCell(event.extra)}`;
}

/** A mark has no rows; it moves the progress alone. */
export function changeRows(record: SinkRecord<ChangeRow>, emit: EmitRow): void {
  if (record.kind === 'tombstone') return;
  const { kind, lsn, xid, commit_ts, before, after } = record.value;
  if (before === null && after === null) return;
  const position = `\t${kind}\t${lsn}\t${xid}\t${millisCell(commit_ts)}`;
  if (before !== null) emit(-1, eventCells(before) + position);
  if (after !== null) emit(1, eventCells(after) + position);
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
