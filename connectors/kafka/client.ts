/** Kafka as the engine's log. */
import type {
  LogClient,
  LogReader,
  Membership,
  OffsetAndMetadata,
  OffsetKind,
  ReaderOptions,
  TransactionalWriter,
} from '../../engine/log.ts';
import { KafkaCluster, type KafkaOptions } from './cluster.ts';
import { kafkaError } from './errors.ts';
import { KafkaMembership } from './membership.ts';
import { KafkaReader } from './reader.ts';
import { KafkaTransactionalWriter } from './transaction.ts';

export interface KafkaClientOptions extends KafkaOptions {
  readonly sessionTimeoutMs?: number;
  readonly transactionTimeoutMs?: number;
}

const READ_UNCOMMITTED = 0;
const READ_COMMITTED = 1;
const EARLIEST = '-2';
const LATEST = '-1';
const ATTEMPTS = 8;

export class KafkaClient implements LogClient {
  readonly #options: KafkaClientOptions;
  readonly #cluster: KafkaCluster;

  constructor(options: KafkaClientOptions) {
    this.#options = options;
    this.#cluster = new KafkaCluster(options);
  }

  reader(options: ReaderOptions): LogReader {
    return new KafkaReader(new KafkaCluster(this.#options), options);
  }

  writer(transactionalId: string): TransactionalWriter {
    return new KafkaTransactionalWriter(new KafkaCluster(this.#options), {
      transactionalId,
      timeoutMs: this.#options.transactionTimeoutMs ?? 20_000,
      deadlineMs: 15_000,
    });
  }

  membership(group: string, topic: string): Membership {
    const sessionTimeoutMs = this.#options.sessionTimeoutMs ?? 10_000;
    return new KafkaMembership(new KafkaCluster({ ...this.#options, requestTimeoutMs: 60_000 }), {
      group,
      topic,
      sessionTimeoutMs,
      rebalanceTimeoutMs: 20_000,
      heartbeatMs: Math.min(1_000, sessionTimeoutMs / 3),
    });
  }

  async partitions(topic: string): Promise<number> {
    return await this.#retried(`look up ${topic}`, async () => await this.#cluster.partitionCount(topic));
  }

  /**
   * `highWatermark` counts open transactions too: what the read barrier and a restore must pass. `lastStable` ends at the first open
   * transaction. (ListOffsets with isolation level 0 and 1.)
   */
  async offsets(topic: string, partitions: readonly number[], kind: OffsetKind): Promise<ReadonlyMap<number, bigint>> {
    const timestamp = kind === 'earliest' ? EARLIEST : LATEST;
    const isolationLevel = kind === 'lastStable' ? READ_COMMITTED : READ_UNCOMMITTED;
    return await this.#retried(`offsets of ${topic}`, async () => {
      const offsets = new Map<number, bigint>();
      const byLeader = new Map<number, number[]>();
      for (const partition of partitions) {
        const leader = await this.#cluster.leaderId(topic, partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition]);
      }
      for (const [leader, of] of byLeader) {
        const broker = await this.#cluster.broker(leader);
        const topics = [{ topic, partitions: of.map((partition) => ({ partition, timestamp })) }];
        const { responses } = await broker.listOffsets({ replicaId: -1, isolationLevel, topics });
        for (const { partition, offset } of responses[0]!.partitions) offsets.set(partition, BigInt(offset));
      }
      return offsets;
    });
  }

  async committed(group: string, topic: string, partition: number): Promise<OffsetAndMetadata | null> {
    return await this.#retried(`committed offset of ${group}`, async () => {
      const topics = [{ topic, partitions: [{ partition }] }];
      const { responses } = await this.#cluster.askGroup(group, (c) => c.offsetFetch({ groupId: group, topics }));
      const found = responses[0]?.partitions[0];
      if (found === undefined || found.offset === '-1') return null;
      return { offset: BigInt(found.offset), metadata: found.metadata ?? '' };
    });
  }

  async close(): Promise<void> {
    await this.#cluster.close();
  }

  /** Questions change nothing, so they are asked again with fresh metadata while a broker is away. */
  async #retried<T>(doing: string, ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (raw) {
        const error = kafkaError(raw, doing);
        if (error.action === 'fatal' || error.action === 'dead-letter' || attempt >= ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.min(1_000, 20 * 2 ** attempt)));
        await this.#cluster.refresh().catch(() => {});
      }
    }
  }
}
