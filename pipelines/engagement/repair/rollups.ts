/**
 * Rollup cells that do not show what Postgres says, while its rows are right: what is missing is added, which may be negative.
 *
 * Invariant: what is added is computed from a moment at which the log says that the cell did not move, so it is exact; and it is added,
 * not put in place of anything, so what the sink adds meanwhile counts.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { addSums as addToTable } from '../../../connectors/clickhouse/sums.ts';
import { addSums, isZero, MEASURES, NO_SUMS, type Sums } from '../reconcile/measures.ts';
import type { Rollup, RollupName } from '../reconcile/period.ts';
import type { Comparison } from '../reconcile/reconcile.ts';
import type { CellDifference } from '../reconcile/rollups.ts';
import { type Cell, cellKey } from '../reconcile/source.ts';

const TABLES: Readonly<Record<RollupName, { readonly table: string; readonly column: string }>> = {
  hourly: { table: 'engagement_hourly_store', column: 'hour' },
  daily: { table: 'engagement_daily_store', column: 'day' },
  weekly: { table: 'engagement_weekly_store', column: 'week' },
};

/** A cell that moves is looked at again so often. */
const LOOKS = 20;
const CELLS_AT_ONCE = 500;

export interface CorrectedCells {
  readonly corrected: number;
  /** They moved at every look. */
  readonly left: number;
}

/** Corrects the differing cells of one rollup. */
export async function correctCells(
  { client, runId }: { readonly client: ClickHouseClient; readonly runId: string },
  comparison: Comparison,
  { rollup, cells }: { readonly rollup: Rollup; readonly cells: readonly CellDifference[] },
): Promise<CorrectedCells> {
  let corrected = 0;
  let left = 0;
  for (let from = 0; from < cells.length; from += CELLS_AT_ONCE) {
    const pending = new Map(cells.slice(from, from + CELLS_AT_ONCE).map((one) => [cellKey(one.cell), one]));
    const additions: { readonly cell: Cell; readonly sums: Sums }[] = [];
    for (let look = 0; look < LOOKS && pending.size > 0; look++) {
      additions.push(...(await resting(comparison, rollup, pending)));
    }
    left += pending.size;
    const wrong = additions.filter(({ sums }) => !isZero(sums));
    corrected += wrong.length;
    if (wrong.length === 0) continue;
    const rows = wrong.map(({ cell, sums }) => tableRow(rollup, cell, sums));
    const token = `repair:${runId}:${rollup.name}:${comparison.report.position}:${from}`;
    await addToTable(client, { table: TABLES[rollup.name].table, rows, token });
  }
  return { corrected, left };
}

/** Of the cells that did not move while they were looked at, what is missing; they are pending no more. */
async function resting(
  { warehouse, settle }: Comparison,
  rollup: Rollup,
  pending: Map<string, CellDifference>,
): Promise<readonly { readonly cell: Cell; readonly sums: Sums }[]> {
  const periods = [...new Set([...pending.values()].map(({ cell }) => cell.period))];
  const written = await warehouse.progress();
  const found = await warehouse.cells(rollup, periods);
  await settle();
  const steps = await warehouse.cellSteps(rollup, periods, written);
  return [...pending].flatMap(([key, { cell, wanted }]) => {
    const totals = steps.get(key)?.totals ?? [NO_SUMS];
    // One total: nothing came to the cell after `written` was asked, so that is what it showed.
    if (totals.length > 1) return [];
    pending.delete(key);
    const is = found.get(key)?.sums ?? NO_SUMS;
    return [{ cell, sums: addSums(addSums(wanted, totals[0]!), is, -1n) }];
  });
}

function tableRow(rollup: Rollup, cell: Cell, sums: Sums): Readonly<Record<string, string | bigint | null>> {
  const time = new Date(Number(cell.period) * 1_000).toISOString();
  return {
    [TABLES[rollup.name].column]: rollup.name === 'hourly' ? time.slice(0, 19).replace('T', ' ') : time.slice(0, 10),
    content_id: cell.contentId,
    content_type: cell.contentType,
    device: cell.device,
    ...Object.fromEntries(MEASURES.map((name, index) => [name, sums[index]!])),
  };
}
