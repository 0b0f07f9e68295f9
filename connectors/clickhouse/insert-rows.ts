/** How the records of a batch become the rows of one insert: as text, or as a block of columns, which costs the server half. */
import type { SinkRecord } from '../../engine/sink.ts';
import { type Column, NativeBlock, type Value } from './native-block.ts';
import { secondsCell } from './tab-separated.ts';

/** Adds one row: the number that tells the rows of one record apart, and the cells of `columns`, tab separated. */
export type EmitRow = (part: number, cells: string) => void;

/** Adds one row, as values in the order of `columns`. */
export type EmitValues = (part: number, values: readonly Value[]) => void;

export interface TextRows<T> {
  readonly columns: readonly string[];
  readonly toRows: (record: SinkRecord<T>, emit: EmitRow) => void;
}

/** For tables with many rows a second. */
export interface BlockRows<T> {
  readonly blockColumns: readonly Column[];
  readonly toValues: (record: SinkRecord<T>, emit: EmitValues) => void;
}

export type Rows<T> = TextRows<T> | BlockRows<T>;

/** The same of all rows of an insert. */
export interface InsertPlace {
  readonly partition: number;
  readonly generation: number;
  readonly writeBeforeMs: number;
}

/** Which rows of a record are written already. */
export type IsWritten = (part: number) => boolean;

/** Builds one insert after the other: `begin`, `add` for each record, `take`. */
export interface InsertRows<T> {
  readonly format: 'TabSeparated' | 'Native';
  readonly columns: readonly string[];
  begin(place: InsertPlace): void;
  /** Throws with action `dead-letter` what a column cannot hold. */
  add(record: SinkRecord<T>, isWritten: IsWritten | null): void;
  /** Null when there are no rows. */
  take(): Buffer | null;
}

export function insertRows<T>(rows: Rows<T>, partColumn: string): InsertRows<T> {
  return 'toRows' in rows ? new TextInsert(rows, partColumn) : new BlockInsert(rows, partColumn);
}

/** The row's place in the topic: the last columns of every table that a sink writes. `write_before` is the lease of the writer. */
const placeColumns = (partColumn: string): readonly Column[] => [
  { name: partColumn, type: 'Int8' },
  { name: 'source_partition', type: 'UInt16' },
  { name: 'source_offset', type: 'UInt64' },
  { name: 'generation', type: 'UInt32' },
  { name: 'write_before', type: 'DateTime' },
];

class TextInsert<T> implements InsertRows<T> {
  readonly format = 'TabSeparated';
  readonly columns: readonly string[];
  readonly #toRows: TextRows<T>['toRows'];
  #middle = '';
  #tail = '';
  #text = '';

  constructor({ columns, toRows }: TextRows<T>, partColumn: string) {
    this.columns = [...columns, ...placeColumns(partColumn).map(({ name }) => name)];
    this.#toRows = toRows;
  }

  begin({ partition, generation, writeBeforeMs }: InsertPlace): void {
    this.#middle = `\t${partition}\t`;
    this.#tail = `\t${generation}\t${secondsCell(writeBeforeMs)}\n`;
    this.#text = '';
  }

  add(record: SinkRecord<T>, isWritten: IsWritten | null): void {
    this.#toRows(record, (part, cells) => {
      if (isWritten?.(part)) return;
      this.#text += `${cells}\t${part}${this.#middle}${record.offset}${this.#tail}`;
    });
  }

  take(): Buffer | null {
    const text = this.#text;
    this.#text = '';
    return text === '' ? null : Buffer.from(text);
  }
}

class BlockInsert<T> implements InsertRows<T> {
  readonly format = 'Native';
  readonly columns: readonly string[];
  readonly #toValues: BlockRows<T>['toValues'];
  readonly #block: NativeBlock;
  #place: InsertPlace = { partition: 0, generation: 0, writeBeforeMs: 0 };

  constructor({ blockColumns, toValues }: BlockRows<T>, partColumn: string) {
    const columns = [...blockColumns, ...placeColumns(partColumn)];
    this.columns = columns.map(({ name }) => name);
    this.#toValues = toValues;
    this.#block = new NativeBlock(columns);
  }

  begin(place: InsertPlace): void {
    this.#place = place;
    this.#block.clear();
  }

  add(record: SinkRecord<T>, isWritten: IsWritten | null): void {
    const { partition, generation, writeBeforeMs } = this.#place;
    const writeBefore = Math.floor(writeBeforeMs / 1_000);
    this.#toValues(record, (part, values) => {
      if (isWritten?.(part)) return;
      this.#block.add(values, [part, partition, record.offset, generation, writeBefore]);
    });
  }

  take(): Buffer | null {
    return this.#block.rows === 0 ? null : this.#block.take();
  }
}
