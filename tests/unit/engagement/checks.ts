/** Holds what came out of a partition against the model. */
import { expect } from 'vitest';
import { DLQ } from '../../../pipelines/engagement/topics.ts';
import type { Change } from '../../../schemas/engagement/change.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { MemoryLog } from '../../support/memory-log.ts';
import { changesOf, presentOf } from './harness.ts';
import { contribution, expected, join, keyOf, limited, type Policy, pctBp } from './model.ts';
import { type ContentFields, contentIdOf } from './rows.ts';
import type { ContentVersion, Source } from './source.ts';

export interface Checked {
  readonly log: MemoryLog;
  readonly source: Source;
  readonly partition: number;
  readonly policy: Policy;
}

export type Present = Map<string, EngagementEvent>;

/** What is in front of a mark. */
interface Before {
  readonly sum: Present;
  readonly rowChanges: number;
}

/** All that is promised of one partition. */
export async function checkPartition(checked: Checked): Promise<void> {
  const { log, source, partition, policy } = checked;
  const changes = await changesOf(log, partition);
  const present = await presentOf(log, partition);
  const { counted, changes: rowChanges } = expected(source, partition);

  const fromRows = changes.filter(({ change: { kind } }) => kind !== 'correct' && kind !== 'mark');
  expect(fromRows.map(({ key, change: { before: _, ...rest } }) => ({ ...rest, key }))).toEqual(rowChanges);

  const wanted = [...counted].map(([key, { row, event }]) => {
    const newest = source.versions[row.content]!.at(-1)!;
    return [key, contribution(policy === 'keep' ? event : join(row, newest, newest))] as const;
  });
  expect(new Map([...present].map(([key, event]) => [key, contribution(event)]))).toEqual(new Map(wanted));

  const sum: Present = new Map();
  let rowsChanged = 0;
  for (const { key, change } of changes) {
    if (change.kind === 'mark') {
      checkMark(change, { sum, rowChanges: rowsChanged }, checked);
      continue;
    }
    add(change, key, sum);
    const { after, lsn, commit_ts } = change;
    if (after !== null) expect([after.source_lsn, after.source_commit_ts]).toEqual([lsn, commit_ts]);
    if (change.kind === 'correct') checkCorrection(change, checked);
    else rowsChanged++;
  }
  expect(sum).toEqual(present);
  const marks = changes.flatMap(({ change: { kind, lsn } }) => (kind === 'mark' ? [lsn] : []));
  expect(marks).toEqual([...new Set(marks)].sort((a, b) => (a < b ? -1 : 1)));
  expect(marks.at(-1)).toBe(source.beats.at(-1)!.lsn);
  checkLetters(checked);
  if (policy === 'correct') checkPositions(changes, checked);
}

/** Versions of contents that are older than the newest by more may be crossed in one step. */
const DISTINCT_MS = 3_600_000;

/**
 * The contract that reconcile counts on: as of any recent transaction, the signed sum of the changes that a snapshot sees is what Postgres
 * said, each row with its content.
 */
export function checkPositions(
  changes: readonly { readonly change: Change }[],
  { source, partition }: Pick<Checked, 'source' | 'partition'>,
  { since = 0n, maxPctBp = null }: { readonly since?: bigint; readonly maxPctBp?: number | null } = {},
): void {
  const captured = source.captured[partition]!;
  const newest = Math.max(...source.versions.flat().map(({ commitTsMs }) => commitTsMs));
  const recent = changes.filter(({ change }) => change.commit_ts >= newest - DISTINCT_MS);
  // A row that a snapshot read has no transaction, so it counts from the beginning: before it was read nobody can say.
  const reads = changes.filter(({ change }) => change.xid === 0n && !['correct', 'mark'].includes(change.kind));
  const read = reads.at(-1)?.change.lsn ?? 0n;
  const first = captured.findLast(({ lsn, xid }) => lsn <= read && xid !== 0n)?.xid ?? 0n;
  const from = first > since ? first : since;
  for (const at of new Set(recent.map(({ change }) => change.xid).filter((xid) => xid !== 0n && xid >= from))) {
    const sum = new Map<string, number>();
    const count = (event: EngagementEvent | null, sign: number) => {
      if (event === null) return;
      const text = JSON.stringify(Object.values(contribution(event)).map(String));
      const left = (sum.get(text) ?? 0) + sign;
      if (left === 0) sum.delete(text);
      else sum.set(text, left);
    };
    for (const { change } of changes) {
      if (change.xid > at) continue;
      count(change.before, -1);
      count(change.after, 1);
    }
    const later = captured.findIndex(({ xid }) => xid > at);
    for (const { row, event } of expected(source, partition, later < 0 ? undefined : later).counted.values()) {
      const its = { lsn: event.source_lsn, commitTsMs: event.source_commit_ts };
      count(limited(join(row, newestIn(source.versions[row.content]!, at), its), maxPctBp), -1);
    }
    expect([...sum]).toEqual([]);
  }
}

/** The newest version of a content that a transaction sees. What only says the same again is none. */
function newestIn(versions: readonly ContentVersion[], xid: bigint): ContentVersion {
  const distinct = versions.filter(
    (version, index) => JSON.stringify(version.fields) !== JSON.stringify(versions[index - 1]?.fields),
  );
  return distinct.findLast((version) => version.xid <= xid)!;
}

/** Each `before` is the `after` before it; the kind says which of them are there. */
export function add(change: Change, key: string | null, sum: Present): void {
  const { kind, before, after } = change;
  expect(key).toBe(keyOf((after ?? before)!));
  expect(before).toEqual(sum.get(key!) ?? null);
  const sides = { insert: [false, true], update: [true, true], correct: [true, true], delete: [true, false] };
  expect([before !== null, after !== null]).toEqual(sides[kind as keyof typeof sides]);
  if (after === null) {
    sum.delete(key!);
  } else {
    sum.set(key!, after);
  }
}

/**
 * A correction crosses the border between two versions of the content, either way, in the position of the later one, makes a difference,
 * and touches nothing of the row.
 */
function checkCorrection({ before, after, lsn, xid, commit_ts }: Change, { source, policy }: Checked): void {
  expect(policy).toBe('correct');
  const content = source.versions.findIndex((_, index) => contentIdOf(index) === after!.content_id);
  const block = { lsn, xid, commitTsMs: commit_ts };
  const crossed = source.versions[content]!.findLastIndex((version) => version.lsn === lsn && version.xid === xid);
  const { fields: _, ...found } = source.versions[content]![crossed]!;
  expect(found).toEqual(block);
  const reached = source.versions[content]!.slice(0, crossed + 1).map(({ fields }) => fields);
  expect(reached).toContainEqual(contentFieldsOf(after!));
  expect(after!.engagement_pct_bp).toBe(
    pctBp(after!.duration_ms ?? after!.duration_ms_wide, contentFieldsOf(after!).lengthSeconds),
  );
  expect(contribution(after!)).not.toEqual(contribution(before!));
  expect(ownFields(after!)).toEqual(ownFields(before!));
}

function contentFieldsOf(event: EngagementEvent): ContentFields {
  const { content_slug: slug, content_title: title, content_type: contentType } = event;
  return { slug, title, contentType, lengthSeconds: event.content_length_seconds ?? event.content_length_seconds_wide };
}

function ownFields(event: EngagementEvent) {
  const { event_id, content_id, user_id, event_type, event_ts, duration_ms, duration_ms_wide, device, extra } = event;
  return { event_id, content_id, user_id, event_type, event_ts, duration_ms, duration_ms_wide, device, extra };
}

/**
 * Everything committed before the mark is in front of it: the rows' changes (all of them are held against the model elsewhere, so
 * their number tells), and the corrections: no row has a version of its content older than the newest one then.
 */
function checkMark(mark: Change, before: Before, { source, partition, policy }: Checked): void {
  const beat = source.beats.find(({ lsn }) => lsn === mark.lsn);
  expect(mark).toEqual({ kind: 'mark', lsn: beat?.lsn, xid: 0n, commit_ts: beat?.timeMs, before: null, after: null });
  expect(before.rowChanges).toBeGreaterThanOrEqual(
    expected(source, partition, beat!.captured[partition]).changes.length,
  );
  if (policy === 'keep') return;
  for (const event of before.sum.values()) {
    const content = source.versions.findIndex((_, index) => contentIdOf(index) === event.content_id);
    const recent = source.versions[content]!.slice(beat!.versions[content]! - 1);
    expect(recent.map(({ fields }) => fields)).toContainEqual(contentFieldsOf(event));
  }
}

function checkLetters({ log, source, partition }: Checked): void {
  const written = log.records(DLQ, 0).map(({ headers, value }) => {
    const header = (name: string) => String(headers.find(({ key }) => key === `sluice.${name}`)?.value);
    return { partition: header('partition'), offset: header('offset'), reason: header('reason'), value };
  });
  const letters = expected(source, partition).letters.map((letter) => ({ partition: String(partition), ...letter }));
  expect(written.filter((letter) => letter.partition === String(partition))).toEqual(letters);
}
