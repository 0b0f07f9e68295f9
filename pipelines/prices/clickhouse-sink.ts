/** What the ClickHouse sinks of prices have in common: a log with one row for each record, of which the greatest offset of a key counts. */
import type { ClickHouseConfig } from '../../connectors/clickhouse/client.ts';
import type { Rows } from '../../connectors/clickhouse/insert-rows.ts';
import { type ClickHouseSinkOptions, clickHouseSink } from '../../connectors/clickhouse/sink.ts';
import type { Sink, SinkBatch } from '../../engine/sink.ts';

/** 1 in the row of a tombstone. */
export const DELETED_COLUMN = 'is_deleted';

/** An as-of stamp of a topic: everything that Postgres committed before `source_lsn` is in front of it. */
interface Stamp {
  readonly source_lsn: bigint;
  readonly stream_time: number;
}

/** Where a sink of prices writes, and what whoever makes it may set. */
export type PricesClickHouseOptions<T> = {
  readonly name: string;
  readonly config: ClickHouseConfig;
} & Pick<ClickHouseSinkOptions<T>, 'leaseMs' | 'settings' | 'now'>;

/** The log that a sink writes, and what a record of its topic is there. */
export type PricesTarget<T> = Pick<ClickHouseSinkOptions<T>, 'table'> &
  Rows<T> & {
    /** Null for a record that is no stamp. */
    readonly stampOf: (value: T) => Stamp | null;
  };

/** A sink whose progress is the last stamp of a batch. Errors as `clickHouseSink`. */
export function pricesClickHouseSink<T>(options: PricesClickHouseOptions<T>, target: PricesTarget<T>): Sink<T> {
  const { stampOf, ...rest } = target;
  return clickHouseSink<T>({
    ...options,
    ...rest,
    partColumn: DELETED_COLUMN,
    progress: (batch) => lastStamp(batch, stampOf),
  });
}

function lastStamp<T>(batch: SinkBatch<T>, stampOf: (value: T) => Stamp | null) {
  for (let index = batch.records.length - 1; index >= 0; index -= 1) {
    const record = batch.records[index]!;
    const stamp = record.kind === 'upsert' ? stampOf(record.value) : null;
    if (stamp !== null) return { lsn: stamp.source_lsn, streamTimeMs: stamp.stream_time };
  }
  return null;
}
