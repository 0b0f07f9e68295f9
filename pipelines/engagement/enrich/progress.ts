/**
 * How far corrections, marks and a change of logic have come: committed with the input offset, so that a crash loses no piece and
 * repeats none, and no mark goes back behind one that is out.
 */
import { type Edition, FIRST_EDITION } from '../enrichment-deployment.ts';

export interface WalkCursor {
  /** All content changes before this offset of the content topic are done … */
  readonly offset: bigint;
  /** … and of the one at it, all rows up to this key of the store. */
  readonly after: Buffer | null;
}

/** Position and time of a mark. */
export interface MarkAt {
  /** 0 when there was none. */
  readonly lsn: bigint;
  /** 0 when not known. */
  readonly timeMs: number;
}

/** The way of an edition over the rows that were there before it. */
export interface RevisionPass {
  /** All rows up to this key of the store are done. */
  readonly after: Buffer | null;
  /** How many they were … */
  readonly rows: number;
  /** … of how many that were there at its beginning. */
  readonly of: number;
}

/** The edition by which rows are made; without a pass all are of it. */
export interface RevisionProgress {
  readonly edition: Edition;
  readonly pass: RevisionPass | null;
}

export interface Progress {
  readonly cursor: WalkCursor;
  /** The newest mark. */
  readonly mark: MarkAt;
  readonly revision: RevisionProgress;
}

/** `row` is in the order of the store. Before it had one of its own there was `after` instead, in that of the topic's keys: what such a walk had done is walked again. */
interface Written {
  readonly content: string;
  readonly row?: string | null;
  readonly mark?: string;
  readonly markMs?: number;
  /** Number of the logic, revision. */
  readonly edition?: readonly [number, number];
  readonly pass?: { readonly row?: string | null; readonly rows: number; readonly of: number };
}

const textOf = (key: Buffer | null): string | null => key?.toString('base64') ?? null;
const keyOf = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text, 'base64'));

/** The rows counted are those up to the key. */
function passOf({ row = null, rows, of }: NonNullable<Written['pass']>): RevisionPass {
  return { after: keyOf(row), rows: row === null ? 0 : rows, of };
}

export function formatProgress({ cursor, mark, revision: { edition, pass } }: Progress): string {
  const written: Written = {
    content: String(cursor.offset),
    row: textOf(cursor.after),
    mark: String(mark.lsn),
    markMs: mark.timeMs,
    edition: [edition.logic, edition.revision],
    ...(pass === null ? {} : { pass: { row: textOf(pass.after), rows: pass.rows, of: pass.of } }),
  };
  return JSON.stringify(written);
}

/** null for an offset that was committed without it: by a tool that reset it, or never. */
export function parseProgress(metadata: string): Progress | null {
  if (metadata === '') return null;
  const { content, row = null, mark = '0', markMs = 0, edition, pass } = JSON.parse(metadata) as Written;
  return {
    cursor: { offset: BigInt(content), after: keyOf(row) },
    mark: { lsn: BigInt(mark), timeMs: markMs },
    revision: {
      edition: edition === undefined ? FIRST_EDITION : { logic: edition[0], revision: edition[1] },
      pass: pass === undefined ? null : passOf(pass),
    },
  };
}
