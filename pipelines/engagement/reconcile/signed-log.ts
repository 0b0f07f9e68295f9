/**
 * The signed log of ClickHouse against the rows that it feeds: their sums are the same at every moment, so a log that has lost or doubled
 * changes is found although rows and sums still show what they should.
 */
import type { Findings } from '../../operations/reconcile/report.ts';
import type { Warehouse } from './warehouse.ts';

/** A row whose changes in the log do not come to what ClickHouse shows of it. */
export interface LogDifference {
  readonly id: bigint;
}

export interface LogComparison {
  readonly warehouse: Warehouse;
  /** Waits until the log holds all that was shown; whether anything may have moved meanwhile. */
  readonly settle: () => Promise<boolean>;
  readonly findings: Findings<LogDifference>;
}

const LOOKS = 4;

/** To be called when the rows are right. */
export async function compareLog({ warehouse, settle, findings }: LogComparison): Promise<void> {
  findings.bucketsCompared++;
  let ids = await warehouse.unbalancedRows();
  for (let look = 2; look <= LOOKS && ids.length > 0; look++) {
    const moved = await settle();
    // What is wrong is wrong at every look; what comes to one table before the other is not.
    const again = new Set(await warehouse.unbalancedRows());
    ids = ids.filter((id) => again.has(id));
    if (!moved) break;
  }
  for (const id of ids) {
    const sink = 'the signed sum of its changes in engagement_changes is not the row that is shown';
    findings.differs({ bucket: 'log', row: `event ${id}`, postgres: null, sink }, { id });
  }
}
