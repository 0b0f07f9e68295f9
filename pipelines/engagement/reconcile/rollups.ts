/**
 * Rollups against Postgres: the sum of the hashes of each period's cells first, then cell by cell in the periods that
 * differ. A view says nothing of how far it has come, so a cell that moves while it is read must show one of the states
 * that the log says it went through.
 */

import type { Findings } from '../../operations/reconcile/report.ts';
import { addSums, isZero, NO_SUMS, type Sums, sameSums, showSums, sumsOf } from './measures.ts';
import { periodOf, type Rollup, showPeriod } from './period.ts';
import type { Row } from './row.ts';
import type { ExplainedRow } from './rows.ts';
import { type Cell, cellKey, type Source } from './source.ts';
import type { Warehouse } from './warehouse.ts';

/** A cell that shows something wrong, and what it is to show as of the snapshot. */
export interface CellDifference {
  readonly cell: Cell;
  readonly wanted: Sums;
}

export interface RollupComparison {
  readonly source: Source;
  readonly warehouse: Warehouse;
  readonly rollup: Rollup;
  /** Rows whose cells are to be as the pipeline has them. */
  readonly explained: readonly ExplainedRow[];
  /** Waits until the log holds all that the view showed; whether anything was written since the last time. */
  readonly settle: () => Promise<boolean>;
  readonly findings: Findings<CellDifference>;
}

type Cells = Map<string, { cell: Cell; sums: Sums }>;

interface Difference {
  readonly cell: Cell;
  readonly wanted: Sums;
  readonly is: Sums;
}

const PERIODS_AT_ONCE = 24;
const ATTEMPTS = 4;

export async function compareRollup(comparison: RollupComparison): Promise<void> {
  const { source, warehouse, rollup, explained, findings } = comparison;
  const expected = await source.periodSums(rollup);
  const found = await warehouse.periodSums(rollup);
  const corrections = correctionsOf(rollup, explained);
  const all = new Set([...expected.keys(), ...found.keys()]);
  findings.bucketsCompared += all.size;
  for (const { rows } of expected.values()) findings.rowsCompared += rows;
  const differing = [...all].filter((period) => {
    const [wanted, is] = [expected.get(period), found.get(period)];
    return wanted === undefined || is === undefined || wanted.rows !== is.rows || wanted.sum !== is.sum;
  });
  differing.sort((a, b) => (a < b ? -1 : 1));
  for (let at = 0; at < differing.length; at += PERIODS_AT_ONCE) {
    const periods = differing.slice(at, at + PERIODS_AT_ONCE);
    for (const { cell, wanted, is } of await differingCells(comparison, periods, corrections)) {
      const difference = {
        bucket: showPeriod(rollup, cell.period),
        row: `content ${cell.contentId}, ${cell.contentType}, device ${cell.device ?? 'NULL'}`,
        postgres: isZero(wanted) ? null : showSums(wanted),
        sink: isZero(is) ? null : showSums(is),
      };
      findings.differs(difference, { cell, wanted });
    }
  }
}

async function differingCells(
  { source, warehouse, rollup, settle }: RollupComparison,
  periods: readonly bigint[],
  corrections: Cells,
): Promise<readonly Difference[]> {
  const expected = await source.cells(rollup, periods);
  const wanted = new Set(periods);
  for (const [key, { cell, sums }] of corrections) {
    if (!wanted.has(cell.period)) continue;
    expected.set(key, { cell, sums: addSums(expected.get(key)?.sums ?? NO_SUMS, sums) });
  }
  let differences: readonly Difference[] = [];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const written = await warehouse.progress();
    const found = await warehouse.cells(rollup, periods);
    const moved = attempt === 1 || (await settle());
    const steps = await warehouse.cellSteps(rollup, periods, written);
    const differing = differencesOf(expected, found, steps);
    // What is wrong is wrong at every look; what is on its way is not.
    const before = new Set(differences.map(({ cell }) => cellKey(cell)));
    differences = attempt === 1 ? differing : differing.filter(({ cell }) => before.has(cellKey(cell)));
    if (differences.length === 0 || !moved) break;
  }
  return differences;
}

/** Cells that show none of the states that the log allows. */
export function differencesOf(
  expected: ReadonlyMap<string, { readonly cell: Cell; readonly sums: Sums }>,
  found: ReadonlyMap<string, { readonly cell: Cell; readonly sums: Sums }>,
  steps: ReadonlyMap<string, { readonly cell: Cell; readonly totals: readonly Sums[] }>,
): readonly Difference[] {
  const differences: Difference[] = [];
  for (const key of new Set([...expected.keys(), ...found.keys(), ...steps.keys()])) {
    const wanted = expected.get(key)?.sums ?? NO_SUMS;
    const is = found.get(key)?.sums ?? NO_SUMS;
    const totals = steps.get(key)?.totals ?? [NO_SUMS];
    if (totals.some((total) => sameSums(addSums(wanted, total), is))) continue;
    const cell = (expected.get(key) ?? found.get(key) ?? steps.get(key))!.cell;
    differences.push({ cell, wanted, is: addSums(is, totals[0]!, -1n) });
  }
  return differences;
}

/** What the pipeline has instead of what Postgres has, by cell. */
function correctionsOf(rollup: Rollup, explained: readonly ExplainedRow[]): Cells {
  const cells: Cells = new Map();
  const add = (row: Row | null, sign: 1n | -1n) => {
    if (row === null || row.eventMicros === null) return;
    const { contentId, contentType, device } = row;
    const cell = { period: periodOf(rollup, row.eventMicros), contentId, contentType, device };
    const key = cellKey(cell);
    cells.set(key, { cell, sums: addSums(cells.get(key)?.sums ?? NO_SUMS, sumsOf(row), sign) });
  };
  for (const { postgres, pipeline } of explained) {
    add(postgres, -1n);
    add(pipeline, 1n);
  }
  return cells;
}
