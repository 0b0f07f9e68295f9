/**
 * The condition that says which rows to read again. Debezium puts it into its query as it is, as a role that may do more than read, so
 * nothing gets in that could be anything but a condition on the table's own columns: typed options are rendered here, and of a free
 * condition every token must be on a list.
 */
import { SluiceError } from '../../../engine/errors.ts';

/** Which rows; all that are given must hold. */
export interface RowRange {
  /** The table's time column, from … */
  readonly from: Date | null;
  /** … to before. */
  readonly to: Date | null;
  /** Values of the column by which rows are kept together. */
  readonly groups: readonly string[];
  readonly ids: readonly bigint[];
  /** An SQL condition, checked by `checkedCondition`. */
  readonly where: string | null;
}

/** A table whose rows can be read again in pieces. */
export interface BackfillTable {
  /** `schema.table` */
  readonly name: string;
  /** Unique together, and with an index in this order: pieces are cut by them. Empty for a small table that is read as a whole. */
  readonly order: readonly string[];
  /** A unique column with an index, by which chunks are cut. Null: by the record key, which then has an index. */
  readonly chunkBy: string | null;
  readonly time: string | null;
  /** The column by which rows are kept together, and what options call it. */
  readonly group: { readonly column: string; readonly type: 'uuid' | 'bigint'; readonly called: string } | null;
  /** A bigint. */
  readonly id: string | null;
  readonly columns: readonly string[];
  /** Read first, as a whole: what the rows refer to. */
  readonly first: readonly BackfillTable[];
}

/** SQL for the range, with no surprises in it; null for all rows. Throws ARGUMENT_INVALID for what the table has no column for. */
export function conditionOf(table: BackfillTable, range: RowRange): string | null {
  const { from, to, groups, ids, where } = range;
  const { name, time, group, id, columns } = table;
  const parts: string[] = [];
  if (from !== null) parts.push(`${known(name, time, 'time')} >= ${timestamp(from)}`);
  if (to !== null) parts.push(`${known(name, time, 'time')} < ${timestamp(to)}`);
  if (groups.length > 0) {
    const { column, type } = known(name, group, 'content or stock');
    parts.push(`${column} IN (${groups.map(LITERAL[type]).join(', ')})`);
  }
  if (ids.length > 0) parts.push(`${known(name, id, 'id')} IN (${ids.join(', ')})`);
  if (where !== null) parts.push(`(${checkedCondition(where, columns)})`);
  return parts.length === 0 ? null : parts.join(' AND ');
}

function known<T>(table: string, column: T | null, what: string): T {
  if (column !== null) return column;
  throw invalid(`${table} cannot be limited by ${what}`);
}

const timestamp = (time: Date): string => `'${time.toISOString()}'::timestamptz`;

const LITERAL = {
  uuid: (text: string): string => {
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return `'${text.toLowerCase()}'`;
    throw invalid(`${JSON.stringify(text)} is no uuid`);
  },
  bigint: (text: string): string => {
    if (/^\d{1,18}$/.test(text)) return text;
    throw invalid(`${JSON.stringify(text)} is no whole number`);
  },
} as const;

const WORDS = new Set(
  'and or not is null in between symmetric like ilike similar to true false unknown distinct from'.split(' '),
);
const TYPES = new Set(
  'int integer bigint smallint numeric text uuid date timestamptz timestamp interval boolean'.split(' '),
);

/** A string without escapes of any kind, a name, a number, a cast, an operator, or a bracket. */
const TOKEN = /\s+|('(?:[^'\\]|'')*')|([A-Za-z_]\w*)|(\d+(?:\.\d+)?)(?![\w.])|(::)|(<=|>=|<>|!=|[=<>+*/%,-])|([()])/y;
const MAX_CHARACTERS = 10_000;

/**
 * The condition, unchanged, when it is one: columns of the table, literals, comparisons, arithmetic, and/or/not, in/between/like, casts to plain
 * types. No calls, subqueries, comments, escapes or second statements. Throws CONDITION_REFUSED (fatal) naming what is not allowed.
 */
export function checkedCondition(text: string, columns: readonly string[]): string {
  if (text.length > MAX_CHARACTERS) throw refused(`it has more than ${MAX_CHARACTERS} characters`);
  const known = new Set(columns);
  let depth = 0;
  let at = 0;
  let last = '';
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) throw refused(`${JSON.stringify(text.slice(at, at + 12))} at character ${at + 1}`);
    const [whole, , word, , , , bracket] = match;
    at = TOKEN.lastIndex;
    if (whole.trim() === '') continue;
    if (whole === '-' && text[at] === '-') throw refused('a comment');
    if (whole === '/' && text[at] === '*') throw refused('a comment');
    if (word !== undefined) checkWord(word, { known, cast: last === '::' });
    if (bracket === '(' && isName(last) && !WORDS.has(last)) throw refused(`a call of ${last}`);
    if (bracket === '(') depth++;
    if (bracket === ')' && --depth < 0) throw refused('a bracket that closes what is around it');
    last = whole.toLowerCase();
  }
  if (depth !== 0) throw refused('a bracket that is not closed');
  if (last === '') throw refused('nothing at all');
  return text;
}

const isName = (token: string): boolean => /^[a-z_]/.test(token);

function checkWord(
  word: string,
  { known, cast }: { readonly known: ReadonlySet<string>; readonly cast: boolean },
): void {
  const name = word.toLowerCase();
  if (cast && !TYPES.has(name)) throw refused(`a cast to ${word}`);
  if (!cast && !known.has(name) && !WORDS.has(name)) {
    throw refused(`${word}, which is no column (${[...known].join(', ')})`);
  }
}

function refused(what: string): SluiceError {
  return new SluiceError(
    `--where may only compare the table's columns with literals (and, or, not, in, between, like, casts); it contains ${what}`,
    { code: 'CONDITION_REFUSED', action: 'fatal' },
  );
}

function invalid(message: string): SluiceError {
  return new SluiceError(message, { code: 'ARGUMENT_INVALID', action: 'fatal' });
}
