/** Topics and plain records on a real broker, for the tests of workers. */
import { createTopics } from '../../../connectors/kafka/admin.ts';
import type { KafkaClient } from '../../../connectors/kafka/client.ts';
import type { LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';

export async function createTopic(
  brokers: readonly string[],
  name: string,
  {
    partitions = 1,
    config = {},
  }: { readonly partitions?: number; readonly config?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  await createTopics({ brokers, clientId: 'test', replication: 1 }, [{ name, partitions, config }]);
}

export interface Message {
  readonly partition: number;
  readonly key: string;
  /** null is a tombstone. */
  readonly value: string | null;
}

/** Writes messages in order, in transactions: their markers are gaps in the offsets. */
export async function produce(client: KafkaClient, topic: string, messages: readonly Message[]): Promise<void> {
  const writer = client.writer(`${topic}-producer`);
  try {
    await writer.fence();
    for (let start = 0; start < messages.length; start += PER_TRANSACTION) {
      const batches = new Map<number, ReturnType<typeof writer.batch>>();
      for (const { partition, key, value } of messages.slice(start, start + PER_TRANSACTION)) {
        const batch = batches.get(partition) ?? writer.batch(topic, partition);
        batches.set(partition, batch);
        batch.append(Buffer.from(key), value === null ? null : Buffer.from(value), Date.now());
      }
      const offset = BigInt(start);
      await writer.commit([...batches.values()], {
        group: `${topic}-producer`,
        topic,
        partition: 0,
        offset,
        metadata: '',
      });
    }
  } finally {
    await writer.close();
  }
}

const PER_TRANSACTION = 25;

/** All that read_committed shows of a partition up to its present end. */
export async function readAll(client: KafkaClient, topic: string, partition: number): Promise<LogRecord[]> {
  const end = (await client.offsets(topic, [partition], 'highWatermark')).get(partition)!;
  const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
  const records: LogRecord[] = [];
  try {
    await readToEnd(reader, { topic, partition, from: 0n, end }, (run) => {
      for (const record of run.records) records.push(record);
    });
  } finally {
    await reader.close();
  }
  return records;
}

export const header = ({ headers }: LogRecord, name: string): string =>
  Buffer.from(headers.find(({ key }) => key === name)?.value ?? []).toString();
