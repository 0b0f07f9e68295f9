/** Fields of hashes and stamps in Redis that several sinks and readers of prices share. */
import type { Mover } from '../../schemas/prices/movers.ts';
import { decimalText } from './codec/decimal-text.ts';

export type Fields = Readonly<Record<string, string>>;

/** Millionths as decimal text; null stays null. */
export function priceText(e6: bigint | null): string | null {
  return e6 === null ? null : decimalText(e6);
}

export const PIVOT_FIELDS = ['pivot', 'resistance_1', 'support_1', 'resistance_2', 'support_2'] as const;

type PivotFields = Record<(typeof PIVOT_FIELDS)[number], string | null>;

/** Floor pivots as fields. */
export function pivotFields(pivots: Pick<Mover, `${(typeof PIVOT_FIELDS)[number]}_e6`>): PivotFields {
  return Object.fromEntries(PIVOT_FIELDS.map((name) => [name, priceText(pivots[`${name}_e6`])])) as PivotFields;
}

/** Floor pivots of the period before: support and resistance. Decimals are text, exact. */
export interface PivotLevels {
  readonly pivot: string;
  readonly resistance1: string;
  readonly support1: string;
  readonly resistance2: string;
  readonly support2: string;
}

/** Reads `pivotFields`; null where there are none. */
export function pivotsFrom(fields: Fields): PivotLevels | null {
  const { pivot, resistance_1: resistance1, support_1: support1 } = fields;
  if (pivot === undefined || resistance1 === undefined || support1 === undefined) return null;
  const { resistance_2: resistance2 = '', support_2: support2 = '' } = fields;
  return { pivot, resistance1, support1, resistance2, support2 };
}

/** Of the partition that is furthest behind; null without a stamp. */
export function oldestStamp(
  stamps: readonly Fields[],
): { readonly streamTime: number; readonly sourceLsn: bigint } | null {
  if (stamps.length === 0) return null;
  const [sourceLsn = 0n] = stamps.map(({ source_lsn }) => BigInt(source_lsn ?? 0)).sort((a, b) => (a < b ? -1 : 1));
  return { streamTime: Math.min(...stamps.map(({ stream_time }) => Number(stream_time))), sourceLsn };
}

/** The stamps of partitions that have one. */
export function stamped(stamps: ReadonlyMap<number, Fields>): readonly Fields[] {
  return [...stamps.values()].filter(({ stream_time }) => stream_time !== undefined);
}
