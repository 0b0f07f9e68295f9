/**
 * Commands to Debezium through its signal table. A signal passes through the WAL like every row, so it is acted on in commit order.
 * https://debezium.io/documentation/reference/stable/configuration/signalling.html#debezium-signaling-incremental-snapshots
 */

/** Rows to be read again, in chunks between the streamed changes. */
export interface SnapshotRequest {
  /** Names the snapshot in its notifications; the same id twice is one signal, since it is the table's primary key. */
  readonly id: string;
  /** `schema.table` */
  readonly table: string;
  /** SQL that Debezium puts into its query as it is: built from typed values, or checked. Null for all rows. */
  readonly filter: string | null;
  /** The column by which chunks are cut; it must be unique. Null: the columns of the record key, which may have no index. */
  readonly chunkBy: string | null;
}

/** A row of `sluice_signal`. */
export interface SignalRow {
  readonly id: string;
  readonly type: 'execute-snapshot';
  readonly data: string;
}

export function snapshotSignal({ id, table, filter, chunkBy }: SnapshotRequest): SignalRow {
  const conditions = filter === null ? {} : { 'additional-conditions': [{ 'data-collection': table, filter }] };
  const chunks = chunkBy === null ? {} : { 'surrogate-key': chunkBy };
  const data = { type: 'incremental', 'data-collections': [table], ...chunks, ...conditions };
  return { id, type: 'execute-snapshot', data: JSON.stringify(data) };
}
