/** Runs one statement on its own connection, by the cheapest route the engine has for it. */
import { randomUUID } from 'node:crypto';
import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Engine, Scope, Session } from './engine.ts';
import type { InsertHead, Statement } from './statement.ts';

/** Whatever a statement gives back: a summary and the bytes of its result, in chunks. */
export interface Outcome {
  readonly writtenRows: number;
  readonly readRows: number;
  readonly chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The engine takes these as bytes without a copy through SQL text. */
const RAW = [
  'JSONEachRow',
  'JSONCompactEachRow',
  'CSV',
  'CSVWithNames',
  'TabSeparated',
  'TabSeparatedWithNames',
] as const;
const RAW_ALIASES: Readonly<Record<string, string>> = { TSV: 'TabSeparated', TSVWithNames: 'TabSeparatedWithNames' };

/** Formats whose output may be cut anywhere between rows: the engine formats each chunk of a stream by itself. */
const STREAMED = new Set([
  'JSONEachRow',
  'JSONLines',
  'NDJSON',
  'JSONCompactEachRow',
  'JSONStringsEachRow',
  'JSONCompactStringsEachRow',
  'TabSeparated',
  'TSV',
  'TabSeparatedRaw',
  'TSVRaw',
  'CSV',
  'RowBinary',
  'Null',
]);

/** Runs `statement` and hands its outcome to `deliver` while the connection is still open. */
export async function execute(
  engine: Engine,
  scope: Scope,
  statement: Statement,
  options: { readonly defaultFormat: string; readonly deliver: (outcome: Outcome) => Promise<void> },
): Promise<void> {
  await engine.withSession(scope, async (session) => {
    switch (statement.kind) {
      case 'insert':
        return options.deliver(await insert(engine, session, statement.head, statement.rows));
      case 'select':
        if (STREAMED.has(statement.format)) return stream(session, statement.sql, options);
        return options.deliver(await query(session, statement.sql, options.defaultFormat));
      case 'other':
        return options.deliver(await query(session, statement.sql, options.defaultFormat));
      default:
        statement satisfies never;
    }
  });
}

async function query(session: Session, sql: string, format: string): Promise<Outcome> {
  const result = await session.queryAsync(sql, { format });
  return { writtenRows: 0, readRows: result.rowsRead, chunks: [result.bytes()] };
}

/** Waits for the first chunk before it delivers, so that an error found there still gets its own status. */
async function stream(
  session: Session,
  sql: string,
  options: { readonly defaultFormat: string; readonly deliver: (outcome: Outcome) => Promise<void> },
): Promise<void> {
  const rows = session.queryStream(sql, { format: options.defaultFormat });
  try {
    const iterator = rows[Symbol.asyncIterator]();
    let next = await iterator.next();
    async function* chunks() {
      while (next.done !== true) {
        yield next.value.raw();
        next = await iterator.next();
      }
    }
    await options.deliver({ writtenRows: 0, readRows: 0, chunks: chunks() });
  } finally {
    rows.cancel();
  }
}

const SIMPLE = /^\w+(\.\w+)?$/;

async function insert(engine: Engine, session: Session, head: InsertHead, rows: Buffer): Promise<Outcome> {
  const name = RAW_ALIASES[head.format] ?? head.format;
  const format = RAW.find((known) => known === name);
  const simple = SIMPLE.test(head.table) && (head.columns ?? []).every((column) => SIMPLE.test(column));
  if (format === undefined || !simple || head.settings !== '') return insertThroughFile(engine, session, head, rows);
  const columns = head.columns === null ? {} : { columns: head.columns };
  const done = await session.insert({ table: head.table, values: rows, format, ...columns });
  return { writtenRows: done.rowsSent ?? done.rowsWritten, readRows: 0, chunks: [] };
}

/** Binary formats, quoted names and inline SETTINGS: the engine reads the body from a file, which is always removed. */
async function insertThroughFile(engine: Engine, session: Session, head: InsertHead, rows: Buffer): Promise<Outcome> {
  if (rows.length === 0) return { writtenRows: 0, readRows: 0, chunks: [] };
  const file = join(engine.incoming, `${randomUUID()}.body`);
  try {
    await writeFile(file, rows);
    const path = file.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
    const sql = `${head.prefix} FROM INFILE '${path}' COMPRESSION 'none' ${head.settings} FORMAT ${head.format}`;
    const done = await session.queryAsync(sql);
    return { writtenRows: done.rowsRead, readRows: 0, chunks: [] };
  } finally {
    await unlink(file).catch(() => undefined);
  }
}
