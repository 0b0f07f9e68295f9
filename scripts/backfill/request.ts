/** What a backfill is asked for, on the command line and kept with the run. */
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import type { RowRange } from '../../pipelines/operations/backfill/condition.ts';
import { badArgument, countOf } from '../support/arguments.ts';
import { BACKFILLED, type TableName } from './pipelines.ts';

const TABLE_NAMES = Object.keys(BACKFILLED).join(', ');

export interface Pace {
  readonly rate: number;
  readonly maxLag: number;
  readonly deadline: number;
}

export interface RangeOptions extends Pace {
  readonly table?: TableName;
  readonly from?: Date;
  readonly to?: Date;
  readonly content?: readonly string[];
  readonly stock?: readonly string[];
  readonly symbol?: readonly string[];
  readonly ids?: readonly bigint[];
  readonly where?: string;
}

/** What a run is about, as it is kept with it: JSON, so that the same asked again is the same text. */
export interface Request {
  readonly table: TableName;
  readonly from: string | null;
  readonly to: string | null;
  readonly groups: readonly string[];
  readonly ids: readonly string[];
  readonly where: string | null;
}

/** Symbols, which never change, are looked up. Throws ARGUMENT_INVALID for an option that the table does not have, and for an unknown symbol. */
export async function requestOf(options: RangeOptions, postgresUrl: string): Promise<Request> {
  const { table, from, to, ids, where } = options;
  if (table === undefined) throw badArgument(`--table is missing: ${TABLE_NAMES}`);
  const called = BACKFILLED[table].table.group?.called;
  for (const [option, of] of [
    ['content', 'content'],
    ['stock', 'stock'],
    ['symbol', 'stock'],
  ] as const) {
    if (options[option] !== undefined && of !== called) throw badArgument(`--${option} has no meaning for ${table}`);
  }
  const groups = called === 'content' ? (options.content ?? []) : await stocksOf(options, postgresUrl);
  return {
    table,
    from: from?.toISOString() ?? null,
    to: to?.toISOString() ?? null,
    groups: [...new Set(groups)].sort(),
    ids: (ids ?? []).map(String).sort(),
    where: where ?? null,
  };
}

async function stocksOf({ stock = [], symbol = [] }: RangeOptions, url: string): Promise<readonly string[]> {
  if (symbol.length === 0) return stock;
  const pool = new PostgresPool({ url, applicationName: 'sluice-backfill' });
  try {
    const { rows } = await pool.query<{ id: string; symbol: string }>(
      'SELECT id::text, symbol FROM stocks WHERE symbol = ANY($1)',
      [symbol],
    );
    const unknown = symbol.find((one) => !rows.some((row) => row.symbol === one));
    if (unknown !== undefined) throw badArgument(`--symbol ${unknown}: there is no such stock`);
    return [...stock, ...rows.map(({ id }) => id)];
  } finally {
    await pool.close();
  }
}

export function rangeOf({ from, to, groups, ids, where }: Request): RowRange {
  const time = (text: string | null) => (text === null ? null : new Date(text));
  return { from: time(from), to: time(to), groups, ids: ids.map(BigInt), where };
}

export const list = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text.split(','),
];
export const idList = (text: string, before: readonly bigint[] = []): readonly bigint[] => [
  ...before,
  ...text.split(',').map((id) => {
    if (/^\d{1,18}$/.test(id)) return BigInt(id);
    throw badArgument(`--ids ${text}: ${id} is no id`);
  }),
];
export const tableOf = (text: string): TableName => {
  if (Object.hasOwn(BACKFILLED, text)) return text as TableName;
  throw badArgument(`--table ${text}: there are ${TABLE_NAMES}`);
};
export const rateOf = (text: string): number => {
  const rate = countOf('rate')(text);
  if (rate > 0) return rate;
  throw badArgument('--rate 0 would never end: to stop for a while there is npm run backfill -- pause');
};
