/**
 * Rows against Postgres: hashes of whole ranges of ids first, then row by row in the ranges that differ. What differs because it
 * changed beyond the snapshot is decided by the log, what was dead-lettered is explained.
 */

import type { Findings } from '../../operations/reconcile/report.ts';
import { explains, type Letter } from './dead-letters.ts';
import { type Row, showRow } from './row.ts';
import { RANGE_ROWS, type RangeSum, type Source } from './source.ts';
import type { TouchedRow, Warehouse } from './warehouse.ts';

/** A store of rows that is compared. */
export interface RowStore {
  /** Hash by id in the ranges; the sum, where there are several rows of one id. */
  rowHashes(ranges: readonly bigint[]): Promise<ReadonlyMap<bigint, bigint>>;
  /** `held`: there is one, but looking it up would cost too much. */
  rows(ids: readonly bigint[]): Promise<ReadonlyMap<bigint, Row | 'held'>>;
  /** Waits until the log holds all that the store showed; whether the store may have changed since the last time. */
  settle(): Promise<boolean>;
}

/** A row that differs; `held`: there is one, and nobody looked. */
export interface RowDifference {
  readonly id: bigint;
  readonly postgres: Row | null;
  readonly sink: Row | 'held' | null;
}

/** A row that differs for a known reason: what Postgres holds, and what the pipeline has instead. */
export interface ExplainedRow {
  readonly postgres: Row | null;
  readonly pipeline: Row | null;
  /** Only ClickHouse has it so: it refused what the others have taken. */
  readonly warehouseOnly: boolean;
}

export interface RowComparison {
  readonly source: Source;
  readonly warehouse: Warehouse;
  readonly store: RowStore;
  readonly expected: ReadonlyMap<bigint, RangeSum>;
  readonly found: ReadonlyMap<bigint, RangeSum>;
  /** Of the pipeline, and of the store itself. */
  readonly letters: readonly ReadonlyMap<bigint, Letter>[];
  readonly findings: Findings<RowDifference>;
}

/** About 250,000 rows, as hashes, are in memory at a time. */
const RANGES_AT_ONCE = 16;
const IDS_AT_ONCE = 400;
const ATTEMPTS = 4;

/** Compares, and returns the rows that dead letters explain. */
export async function compareRows(comparison: RowComparison): Promise<readonly ExplainedRow[]> {
  const { expected, found, findings } = comparison;
  const all = new Set([...expected.keys(), ...found.keys()]);
  findings.bucketsCompared += all.size;
  for (const { rows } of expected.values()) findings.rowsCompared += rows;
  const differing = [...all].filter((range) => !sameSum(expected.get(range), found.get(range)));
  differing.sort((a, b) => (a < b ? -1 : 1));
  const explained: ExplainedRow[] = [];
  for (let at = 0; at < differing.length; at += RANGES_AT_ONCE) {
    const ids = await differingIds(comparison, differing.slice(at, at + RANGES_AT_ONCE));
    for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
      explained.push(...(await explain(comparison, ids.slice(from, from + IDS_AT_ONCE))));
    }
  }
  return explained;
}

/** Ids of the rows in the ranges that the log does not explain. */
async function differingIds(
  { source, warehouse, store }: RowComparison,
  ranges: readonly bigint[],
): Promise<readonly bigint[]> {
  const expected = await source.rowHashes(ranges);
  let ids: readonly bigint[] = [];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const found = await store.rowHashes(ranges);
    const moved = attempt === 1 || (await store.settle());
    const differing = unexplained(expected, found, await warehouse.touchedRows(ranges));
    // What is wrong is wrong at every look; what is on its way is not.
    const before = new Set(ids);
    ids = attempt === 1 ? differing : differing.filter((id) => before.has(id));
    if (ids.length === 0 || !moved) break;
  }
  return ids;
}

/** The decision, row by row: see docs/reconcile.md. */
export function unexplained(
  expected: ReadonlyMap<bigint, bigint>,
  found: ReadonlyMap<bigint, bigint>,
  touched: ReadonlyMap<bigint, TouchedRow>,
): bigint[] {
  const ids: bigint[] = [];
  const check = (id: bigint) => {
    const wanted = expected.get(id) ?? 0n;
    const is = found.get(id) ?? 0n;
    const log = touched.get(id);
    if (log === undefined) {
      if (wanted !== is) ids.push(id);
      return;
    }
    // The log must lead back to what Postgres said, and on to what the store shows: one of the row's states, none, or two
    // while it moves between contents, whose partitions come one after the other.
    const states = new Set([wanted, ...log.since]);
    const reachable =
      is === 0n || states.has(is) || [...states].some((state) => states.has(BigInt.asUintN(64, is - state)));
    if (log.asOf !== wanted || !reachable) ids.push(id);
  };
  for (const id of expected.keys()) check(id);
  for (const id of found.keys()) if (!expected.has(id)) check(id);
  return ids.sort((a, b) => (a < b ? -1 : 1));
}

/** Records what dead letters do not explain, and returns what they do. */
async function explain(comparison: RowComparison, ids: readonly bigint[]): Promise<readonly ExplainedRow[]> {
  const { source, store, letters, findings } = comparison;
  const withLetter = ids.some((id) => letters.some((of) => of.has(id)));
  const shown = withLetter || findings.room > 0;
  const postgres = shown ? await source.rows(ids) : new Map<bigint, Row>();
  const sink = shown ? await store.rows(ids) : new Map<bigint, Row | 'held'>();
  const explained: ExplainedRow[] = [];
  for (const id of ids) {
    const row = postgres.get(id);
    const held = sink.get(id);
    const by = letters.findIndex((of) => of.has(id) && explains(of.get(id)!, row));
    if (by !== -1) {
      findings.isDeadLettered(String(id), letters[by]!.get(id)!.reason);
      const pipeline = held === undefined || held === 'held' ? null : held;
      explained.push({ postgres: row ?? null, pipeline, warehouseOnly: by > 0 });
      continue;
    }
    const difference = {
      bucket: `ids ${(id / RANGE_ROWS) * RANGE_ROWS} to ${(id / RANGE_ROWS + 1n) * RANGE_ROWS - 1n}`,
      row: `event ${id}`,
      postgres: row === undefined ? null : showRow(row),
      sink: held === undefined ? null : held === 'held' ? 'another value' : showRow(held),
    };
    findings.differs(difference, { id, postgres: row ?? null, sink: held ?? null });
  }
  return explained;
}

function sameSum(a: RangeSum | undefined, b: RangeSum | undefined): boolean {
  return a !== undefined && b !== undefined && a.rows === b.rows && a.sum === b.sum;
}
