/**
 * How a row moves along the versions of its content, and which one it has.
 *
 * Invariant: a change crosses one border of one transaction, either of the row or of its content, and says which. So the signed sum of
 * the changes whose transactions a snapshot sees is the row as that snapshot sees it, joined with its content as that snapshot
 * sees it, whatever has come since and in whichever order rows and contents were read. (As far as LSNs are in the order of commits.)
 */
import type { TableVersion } from '../../engine/versioned-table.ts';
import { type ContentPart, type CorrectableEvent, hasContent, sourceLsn } from './codec/event.ts';

/** A version of a content: its fields in Avro, and the change that made it. */
export interface ContentVersion {
  readonly part: ContentPart;
  readonly lengthSeconds: number | null;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

export type ContentVersions = readonly TableVersion<ContentVersion>[];

/** Nobody asks what was before a transaction that is an hour older than the newest: such versions are crossed in one step. */
const DISTINCT_MS = 3_600_000;

/** Which version an event was enriched with; -1 when with none that is known. */
export function versionOf(versions: ContentVersions, body: Buffer, event: CorrectableEvent): number {
  const found = versions.flatMap(({ value }, index) => (hasContent(body, event, value.part) ? [index] : []));
  if (found.length < 2) return found[0] ?? -1;
  // A content that has come back to what it was: the event has the position of the version, or its own, which is no older.
  const lsn = sourceLsn(body);
  return found.findLast((index) => versions[index]!.lsn <= lsn) ?? found[0]!;
}

/** The next version on the way, and the one whose border is crossed. */
export function nextVersion(
  versions: ContentVersions,
  { from, to }: { readonly from: number; readonly to: number },
): { readonly next: number; readonly crossed: number } {
  if (from < 0) return { next: to, crossed: to };
  const horizon = versions.at(-1)!.value.commitTsMs - DISTINCT_MS;
  const distinct = versions.findIndex(({ value }) => value.commitTsMs >= horizon);
  if (from < to) {
    const next = Math.min(to, Math.max(from + 1, distinct - 1));
    return { next, crossed: next };
  }
  return { next: from < distinct ? to : from - 1, crossed: from };
}
