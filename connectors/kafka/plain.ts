/** kafkajs as it comes, for scripts: administration and plain appends. The workers' client is `client.ts`. */
import { readFileSync } from 'node:fs';
import kafkajs, { type Kafka, type SASLOptions } from 'kafkajs';
import type { LogHeader } from '../../engine/log.ts';
import type { KafkaOptions } from './cluster.ts';
import { kafkaError } from './errors.ts';
import { mendKafkajs } from './mend.ts';

/** A kafkajs client for scripts, with the same connection settings as the workers. */
export function plainKafka(options: KafkaOptions): Kafka {
  mendKafkajs();
  return new kafkajs.Kafka({
    clientId: options.clientId,
    brokers: [...options.brokers],
    ssl: options.ssl === undefined ? undefined : { ca: [readFileSync(options.ssl.caFile, 'utf8')] },
    sasl: options.sasl as SASLOptions | undefined,
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: 3_000,
    retry: { initialRetryTime: 100, retries: 8 },
  });
}

export interface PlainRecord {
  readonly partition: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly LogHeader[];
  /** Milliseconds since the epoch. */
  readonly timestampMs: number;
}

/**
 * Appends records outside any transaction; resolves when all replicas in sync have them. At least once: a caller that is repeated
 * writes again, so what reads them must not mind a second copy. Throws KAFKA_<code>.
 */
export async function appendRecords(
  options: KafkaOptions,
  topic: string,
  records: readonly PlainRecord[],
): Promise<void> {
  const producer = plainKafka(options).producer({ idempotent: true, maxInFlightRequests: 1 });
  try {
    await producer.connect();
    const messages = records.map(({ partition, key, value, headers, timestampMs }) => ({
      partition,
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      headers: Object.fromEntries(headers.map((header) => [header.key, Buffer.from(header.value)])),
      timestamp: String(timestampMs),
    }));
    await producer.send({ topic, acks: -1, messages });
  } catch (error) {
    throw kafkaError(error, `append to ${topic}`);
  } finally {
    await producer.disconnect().catch(() => {});
  }
}

/** The first offset of each partition whose record is not older; none for a partition without one. Throws KAFKA_<code>. */
export async function offsetsAtTime(
  options: KafkaOptions,
  topic: string,
  timeMs: number,
): Promise<ReadonlyMap<number, bigint>> {
  const admin = plainKafka(options).admin();
  try {
    await admin.connect();
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, timeMs);
    return new Map(
      found.filter(({ offset }) => offset !== '-1').map(({ partition, offset }) => [partition, BigInt(offset)]),
    );
  } catch (error) {
    throw kafkaError(error, `find the offsets of ${topic} at a time`);
  } finally {
    await admin.disconnect().catch(() => {});
  }
}
