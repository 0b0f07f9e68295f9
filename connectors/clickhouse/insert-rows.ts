/** How the records of a batch become the rows of one insert. */
import type { SinkRecord } from '../../engine/sink.ts';
import { type Column, NativeBlock, type Value } from './native-block.ts';

/** Adds one row: the number that tells the rows of one record apart, and values in the order of `columns`. */
export type EmitRow = (part: number, values: readonly Value[]) => void;

/** What a table holds of the records of a topic. */
export interface Rows<T> {
  readonly columns: readonly Column[];
  readonly toRows: (record: SinkRecord<T>, emit: EmitRow) => void;
}

/** The same of all rows of an insert. */
interface InsertPlace {
  readonly partition: number;
  readonly generation: number;
  readonly writeBeforeMs: number;
}

/** Which rows of a record are written already. */
export type IsWritten = (part: number) => boolean;

/** The row's place in the topic: the last columns of every table that a sink writes. `write_before` is the lease of the writer. */
const placeColumns = (partColumn: string): readonly Column[] => [
  { name: partColumn, type: 'Int8' },
  { name: 'source_partition', type: 'UInt16' },
  { name: 'source_offset', type: 'UInt64' },
  { name: 'generation', type: 'UInt32' },
  { name: 'write_before', type: 'DateTime' },
];

/** Builds one insert after the other: `begin`, `add` for each record, `take`. */
export class InsertRows<T> {
  /** Names, in the order of an insert. */
  readonly columns: readonly string[];
  readonly #toRows: Rows<T>['toRows'];
  readonly #block: NativeBlock;
  #place: InsertPlace = { partition: 0, generation: 0, writeBeforeMs: 0 };

  constructor(rows: Rows<T>, partColumn: string) {
    const columns = [...rows.columns, ...placeColumns(partColumn)];
    this.columns = columns.map(({ name }) => name);
    this.#toRows = rows.toRows;
    this.#block = new NativeBlock(columns);
  }

  begin(place: InsertPlace): void {
    this.#place = place;
    this.#block.clear();
  }

  /** Throws with action `dead-letter` what a column cannot hold. */
  add(record: SinkRecord<T>, isWritten: IsWritten | null): void {
    const { partition, generation, writeBeforeMs } = this.#place;
    const writeBefore = Math.floor(writeBeforeMs / 1_000);
    this.#toRows(record, (part, values) => {
      if (isWritten?.(part)) return;
      this.#block.add(values, [part, partition, record.offset, generation, writeBefore]);
    });
  }

  /** A block in the Native format; null when there are no rows. */
  take(): Buffer | null {
    return this.#block.rows === 0 ? null : this.#block.take();
  }
}
