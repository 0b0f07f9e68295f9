/** Makes a topic longer by writing what it holds again, in the same order, until there is enough to measure with. */
import type { KafkaClient } from '../../connectors/kafka/client.ts';
import type { LogRecord, TransactionalWriter } from '../../engine/log.ts';

const DEADLINE_MS = 120_000;
const RECORDS_PER_COMMIT = 10_000;

/** Returns how many records the topic then holds. */
export async function repeatTopic(
  kafka: KafkaClient,
  options: { readonly topic: string; readonly partitions: number; readonly atLeast: number },
): Promise<number> {
  const partitions = Array.from({ length: options.partitions }, (_, partition) => partition);
  const held = await Promise.all(partitions.map((partition) => readAll(kafka, options.topic, partition)));
  const total = held.reduce((sum, records) => sum + records.length, 0);
  if (total === 0) return 0;
  const times = Math.ceil(options.atLeast / total) - 1;
  const writer = kafka.writer('bench-repeat');
  await writer.fence();
  try {
    let commits = 0n;
    for (let time = 0; time < times; time += 1) {
      for (const partition of partitions) {
        commits = await append(writer, { ...options, partition, records: held[partition]!, commits });
      }
    }
  } finally {
    await writer.close();
  }
  return total * (times + 1);
}

async function append(
  writer: TransactionalWriter,
  at: {
    readonly topic: string;
    readonly partition: number;
    readonly records: readonly LogRecord[];
    readonly commits: bigint;
  },
): Promise<bigint> {
  let { commits } = at;
  for (let from = 0; from < at.records.length; from += RECORDS_PER_COMMIT) {
    const batch = writer.batch(at.topic, at.partition);
    for (const { key, value, timestampMs } of at.records.slice(from, from + RECORDS_PER_COMMIT)) {
      batch.append(key, value, timestampMs);
    }
    commits += 1n;
    await writer.commit([batch], {
      group: 'bench-repeat',
      topic: at.topic,
      partition: 0,
      offset: commits,
      metadata: '',
    });
  }
  return commits;
}

async function readAll(kafka: KafkaClient, topic: string, partition: number): Promise<readonly LogRecord[]> {
  const end = (await kafka.offsets(topic, [partition], 'highWatermark')).get(partition) ?? 0n;
  const records: LogRecord[] = [];
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 16 << 20 });
  const deadline = performance.now() + DEADLINE_MS;
  try {
    const stream = reader.open(topic, partition, 0n);
    for (let next = 0n; next < end; ) {
      const run = await stream.next(1_000);
      if (run !== null) {
        records.push(...run.records);
        next = run.next;
      }
      if (performance.now() > deadline) throw new Error(`${topic}-${partition} could not be read in time`);
    }
  } finally {
    await reader.close();
  }
  return records;
}
