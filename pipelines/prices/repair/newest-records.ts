/** The newest records of some keys of a compacted topic, as they are when it is read. */
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';

/** How the keys of a topic name what they are of. */
export interface KeyedTopic {
  readonly topic: string;
  prepare(records: readonly LogRecord[]): Promise<void>;
  /** Null for a key of none. */
  nameOf(key: Buffer): { readonly name: string; readonly stockId: bigint } | null;
}

export interface NewestRecords {
  /** By name. Their bytes are their own; a tombstone has no value. */
  readonly records: ReadonlyMap<string, { readonly record: LogRecord; readonly partition: number }>;
  /** Where each of the stocks is; none of a stock that the topic does not speak of. */
  readonly partitions: ReadonlyMap<bigint, number>;
}

const copied = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));

/** Reads the whole topic, to its end at the call. Memory grows with what is wanted only. */
export async function newestRecords(
  log: LogClient,
  keyed: KeyedTopic,
  wanted: ReadonlySet<string>,
): Promise<NewestRecords> {
  const { topic } = keyed;
  const records = new Map<string, { record: LogRecord; partition: number }>();
  const partitions = new Map<bigint, number>();
  const stocks = new Set([...wanted].map((name) => BigInt(name.split(' ')[1]!)));
  const all = Array.from({ length: await log.partitions(topic) }, (_, partition) => partition);
  const ends = await log.offsets(topic, all, 'lastStable');
  await readTopic(log, { topic, ends }, async (run, partition) => {
    await keyed.prepare(run.records);
    for (const record of run.records) {
      const at = record.key === null ? null : keyed.nameOf(record.key);
      if (at === null || !stocks.has(at.stockId)) continue;
      partitions.set(at.stockId, partition);
      if (!wanted.has(at.name)) continue;
      const { offset, timestampMs, headers, key, value } = record;
      // Field by field: a record of the wire has some of them as getters.
      const own = { offset, timestampMs, headers, key: copied(key), value: copied(value) };
      records.set(at.name, { record: own, partition });
    }
  });
  return { records, partitions };
}
