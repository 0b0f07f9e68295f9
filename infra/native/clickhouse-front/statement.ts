/** Tells statements apart by their text: what the front needs to choose a route into the engine, not a SQL parser. */

export type Statement =
  /** `INSERT … FORMAT X` whose rows follow as bytes. */
  | { readonly kind: 'insert'; readonly head: InsertHead; readonly rows: Buffer }
  /** A query whose rows may be streamed. */
  | { readonly kind: 'select'; readonly sql: string; readonly format: string }
  /** SHOW, EXPLAIN, DDL, SET, INSERT … SELECT, INSERT … VALUES. */
  | { readonly kind: 'other'; readonly sql: string; readonly format: string };

export interface InsertHead {
  /** `db.table` or `table`, as written. */
  readonly table: string;
  readonly columns: readonly string[] | null;
  /** The text before FORMAT, SETTINGS left out, and the SETTINGS clause, as written. */
  readonly prefix: string;
  readonly settings: string;
  readonly format: string;
}

const NAME = '(?:`[^`]+`|"[^"]+"|\\w+)';
const INSERT = new RegExp(
  `^(INSERT\\s+INTO\\s+(?:TABLE\\s+)?(${NAME}(?:\\s*\\.\\s*${NAME})?)\\s*(?:\\(([^()]*)\\))?)` +
    "\\s*(SETTINGS\\s+(?:[^']|'(?:[^'\\\\]|\\\\.|'')*')*?)?\\s*FORMAT\\s+(\\w+)\\s*?(\\r?\\n|;|\\s|$)",
  'i',
);
/** Longer than the head of any sane INSERT; the rest of a big body is never decoded. */
const HEAD_BYTES = 64 * 1024;

/** Skips white space and comments. */
export function skipComments(sql: string): string {
  return sql.replace(/^(?:\s+|--[^\n]*(?:\n|$)|#!?[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, '');
}

const utf8 = (latin1: string) => Buffer.from(latin1, 'latin1').toString('utf8');

function insertHead(match: RegExpExecArray): InsertHead {
  return {
    table: utf8(match[2]!),
    columns:
      match[3] === undefined
        ? null
        : utf8(match[3])
            .split(',')
            .map((column) => column.trim()),
    prefix: utf8(match[1]!),
    settings: utf8(match[4] ?? ''),
    format: match[5]!,
  };
}

/** The FORMAT a query ends with, or the default. */
function outputFormat(sql: string, fallback: string): string {
  const tail = sql.slice(-4096).replace(/[\s;]+$/, '');
  return /\bFORMAT\s+(\w+)(?:\s+SETTINGS\s[^']*(?:'[^']*'[^']*)*)?$/i.exec(tail)?.[1] ?? fallback;
}

/** Reads `query` (of the URL) and `body` as one statement, the way the server joins them. */
export function readStatement(query: string, body: Buffer, defaultFormat: string): Statement {
  const inUrl = query.trim() !== '';
  // latin1 keeps one character per byte, so that positions in the text are positions in the body.
  const raw = inUrl ? Buffer.from(query).toString('latin1') : body.toString('latin1', 0, HEAD_BYTES);
  const text = skipComments(raw);
  const match = INSERT.exec(text);
  if (match !== null && match[5]!.toLowerCase() !== 'values') {
    const at = raw.length - text.length + match[0].length;
    if (!inUrl) return { kind: 'insert', head: insertHead(match), rows: body.subarray(at) };
    const rest = Buffer.from(raw.slice(at), 'latin1');
    const rows = rest.toString('latin1').trim() === '' ? body : Buffer.concat([rest, body]);
    return { kind: 'insert', head: insertHead(match), rows };
  }
  const sql = inUrl ? (body.length === 0 ? query : `${query}\n${body.toString('utf8')}`) : body.toString('utf8');
  const kind = /^(SELECT|WITH|\()/i.test(text) && !/\bINSERT\s+INTO\b/i.test(text) ? 'select' : 'other';
  return { kind, sql, format: outputFormat(sql, defaultFormat) };
}
