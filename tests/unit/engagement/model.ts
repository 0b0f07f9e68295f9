/** What must come out, computed plainly: every record of the capture in turn, nothing incremental, nothing encoded. */
import type { ChangeKind } from '../../../schemas/engagement/change.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import { contentIdOf, type EventRow } from './rows.ts';
import { type Captured, type ContentVersion, laterChange, reasonOf, type Source } from './source.ts';

export type Policy = 'correct' | 'keep';

/** A change that comes from a row, not from its content. */
export interface RowChange {
  readonly kind: ChangeKind;
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commit_ts: number;
  readonly key: string;
  readonly after: EngagementEvent | null;
}

export interface Letter {
  readonly offset: string;
  readonly reason: string;
  readonly value: Buffer | null;
}

/** A row that counts, and what it was enriched with when it came. */
export interface Counted {
  readonly row: EventRow;
  readonly event: EngagementEvent;
}

export interface Expected {
  readonly changes: readonly RowChange[];
  readonly letters: readonly Letter[];
  readonly counted: ReadonlyMap<string, Counted>;
}

export const keyOf = (event: Pick<EngagementEvent, 'content_id' | 'event_id'>): string =>
  `${event.content_id}/${event.event_id}`;

/** The newest version with LSN ≤ lsn, or the oldest. */
export function versionAsOf(versions: readonly ContentVersion[], lsn: bigint): ContentVersion {
  return versions.findLast((version) => version.lsn <= lsn) ?? versions[0]!;
}

/** Half up, in integers of any size. */
export function pctBp(durationMs: number | null, lengthSeconds: number | null): number | null {
  if (durationMs === null || lengthSeconds === null || lengthSeconds === 0) return null;
  const [duration, length] = [BigInt(durationMs), BigInt(lengthSeconds)];
  return Number((2n * duration * 10n + length) / (2n * length));
}

const inInt = (value: number | null): boolean => value === null || (value >= -(2 ** 31) && value < 2 ** 31);

export function join(row: EventRow, version: ContentVersion, source: { lsn: bigint; commitTsMs: number }) {
  const { slug, title, contentType, lengthSeconds } = version.fields;
  return {
    event_id: row.id,
    content_id: contentIdOf(row.content),
    user_id: `user-${row.user}`,
    event_type: row.eventType,
    event_ts: row.eventMicros!,
    duration_ms: inInt(row.durationMs) ? row.durationMs : null,
    device: row.device,
    duration_ms_wide: inInt(row.durationMs) ? null : row.durationMs,
    extra: row.campaign === null ? null : JSON.stringify({ campaign: row.campaign }),
    content_slug: slug,
    content_title: title,
    content_type: contentType,
    content_length_seconds: inInt(lengthSeconds) ? lengthSeconds : null,
    content_length_seconds_wide: inInt(lengthSeconds) ? null : lengthSeconds,
    engagement_pct_bp: pctBp(row.durationMs, lengthSeconds),
    source_lsn: source.lsn,
    source_commit_ts: source.commitTsMs,
  } satisfies EngagementEvent;
}

/** The event under a limit of the percent that counts. */
export function limited(event: EngagementEvent, maxPctBp: number | null): EngagementEvent {
  const { engagement_pct_bp: pct } = event;
  return { ...event, engagement_pct_bp: pct !== null && maxPctBp !== null && pct > maxPctBp ? maxPctBp : pct };
}

/** An event without where it comes from: what counts. */
export function contribution(event: EngagementEvent): Omit<EngagementEvent, 'source_lsn' | 'source_commit_ts'> {
  const { source_lsn: _, source_commit_ts: __, ...rest } = event;
  return rest;
}

const sameRow = (a: EventRow, b: EventRow): boolean =>
  a.user === b.user &&
  a.eventType === b.eventType &&
  a.eventMicros === b.eventMicros &&
  a.durationMs === b.durationMs &&
  a.device === b.device &&
  a.campaign === b.campaign;

/** Whether another copy of the row, by a command that had looked further, came before this one. */
function isOutdone(records: readonly Captured[], copy: Captured): boolean {
  const { scannedTo, offset } = copy;
  if (scannedTo === undefined || !('row' in copy)) return false;
  return records.some((one) => {
    if (one.scannedTo === undefined || !('row' in one) || one.offset >= offset) return false;
    return one.scannedTo > scannedTo && one.row.id === copy.row.id && one.row.content === copy.row.content;
  });
}

/** What the first `count` records of a partition come to. */
export function expected(source: Source, partition: number, count?: number): Expected {
  const changes: RowChange[] = [];
  const letters: Letter[] = [];
  const counted = new Map<string, Counted>();
  const change = (record: Captured, kind: ChangeKind, key: string, after: EngagementEvent | null) => {
    changes.push({ kind, lsn: record.lsn, xid: record.xid, commit_ts: record.commitTsMs, key, after });
  };
  for (const record of source.captured[partition]!.slice(0, count)) {
    if (record.kind === 'nothing') continue;
    const records = source.captured[partition]!;
    // What a command writes again counts only while it is the newest of its row.
    const later = record.copyOf === undefined ? undefined : laterChange(records, record);
    if (later !== undefined && later.offset < record.offset) continue;
    if (isOutdone(records, record)) continue;
    if (record.kind === 'bad') {
      letters.push({ offset: String(record.offset), reason: record.reason, value: record.value });
      continue;
    }
    const { row } = record;
    const key = keyOf({ content_id: contentIdOf(row.content), event_id: row.id });
    const before = counted.get(key);
    const reason = record.kind === 'delete' ? null : reasonOf(row, record.commitTsMs);
    if (reason !== null) letters.push({ offset: String(record.offset), reason, value: record.value });
    if (record.kind === 'delete' || reason !== null) {
      // A row that is gone counts no more, nor does one that has gone bad.
      if (before !== undefined) change(record, 'delete', key, null);
      counted.delete(key);
      continue;
    }
    if (before !== undefined && sameRow(before.row, row)) continue;
    const event = join(row, versionAsOf(source.versions[row.content]!, record.lsn), record);
    change(record, before === undefined ? 'insert' : 'update', key, event);
    counted.set(key, { row, event });
  }
  return { changes, letters, counted };
}
