/** What is to be done about what a comparison found: pure. */
import type { Subjects } from '../reconcile/reconcile.ts';
import type { Row } from '../reconcile/row.ts';
import { rowText } from '../reconcile/row.ts';
import type { RowDifference } from '../reconcile/rows.ts';

/**
 * A row to be told to the pipeline once more. `change`: the pipeline missed a change, and every sink follows from it. `publish`: the
 * log of changes is right, and only the public record is wrong.
 */
export interface RowToTell {
  readonly id: bigint;
  readonly how: 'change' | 'publish';
  /** What the pipeline holds of it; under another content than Postgres it is taken off there. */
  readonly held: Row | null;
}

export interface RowPlan {
  readonly tell: readonly RowToTell[];
  /** Rows that ClickHouse alone has wrong. */
  readonly warehouse: readonly bigint[];
  /** Rows of which nobody can say under which content the pipeline holds them. */
  readonly left: readonly bigint[];
}

const isRow = (row: RowDifference['sink']): row is Row => row !== null && row !== 'held';

/** Which of the two stores of rows is wrong tells where the fault is: the public topic is what the pipeline believes. */
export function planRows({ clickHouseRows, external }: Pick<Subjects, 'clickHouseRows' | 'external'>): RowPlan {
  const inWarehouse = new Set(clickHouseRows.map(({ id }) => id));
  const tell: RowToTell[] = [];
  const left: bigint[] = [];
  for (const { id, postgres, sink } of external) {
    if (sink === 'held' && postgres === null) left.push(id);
    else tell.push({ id, how: inWarehouse.has(id) ? 'change' : 'publish', held: isRow(sink) ? sink : null });
  }
  const told = new Set(external.map(({ id }) => id));
  return { tell, warehouse: clickHouseRows.flatMap(({ id }) => (told.has(id) ? [] : [id])), left };
}

/** Whether two stores hold the same row. */
export function sameRow(a: Row | undefined, b: Row | undefined): boolean {
  return a === undefined || b === undefined ? a === b : rowText(a) === rowText(b);
}
