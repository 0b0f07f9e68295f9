/** What a backfill is asked for, on the command line and kept with the run. */
import { ENGAGEMENT_BACKFILL } from '../../pipelines/engagement/backfill/tables.ts';
import type { RowRange } from '../../pipelines/operations/backfill/condition.ts';
import { badArgument, countOf } from '../support/arguments.ts';

export type TableName = keyof typeof ENGAGEMENT_BACKFILL;

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

export function requestOf({ table, from, to, content, ids, where }: RangeOptions): Request {
  if (table === undefined) throw badArgument('--table is missing: engagement_events or content');
  return {
    table,
    from: from?.toISOString() ?? null,
    to: to?.toISOString() ?? null,
    groups: [...(content ?? [])].sort(),
    ids: (ids ?? []).map(String).sort(),
    where: where ?? null,
  };
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
  if (Object.hasOwn(ENGAGEMENT_BACKFILL, text)) return text as TableName;
  throw badArgument(`--table ${text}: there are ${Object.keys(ENGAGEMENT_BACKFILL).join(', ')}`);
};
export const rateOf = (text: string): number => {
  const rate = countOf('rate')(text);
  if (rate > 0) return rate;
  throw badArgument('--rate 0 would never end: to stop for a while there is npm run backfill -- pause');
};
