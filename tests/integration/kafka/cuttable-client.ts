/** A Kafka client whose process can "die": every connection is cut at once, nothing is closed, left or committed. */
import { KafkaClient, type KafkaClientOptions } from '../../../connectors/kafka/client.ts';
import { KafkaCluster } from '../../../connectors/kafka/cluster.ts';
import { KafkaMembership } from '../../../connectors/kafka/membership.ts';
import { KafkaReader } from '../../../connectors/kafka/reader.ts';
import { KafkaTransactionalWriter } from '../../../connectors/kafka/transaction.ts';
import type { LogReader, Membership, ReaderOptions, TransactionalWriter } from '../../../engine/log.ts';

/** The shortest that a broker allows by default. */
const SESSION_MS = 6_000;

export class CuttableClient extends KafkaClient {
  readonly #of: KafkaClientOptions;
  readonly #clusters: KafkaCluster[] = [];

  constructor(options: KafkaClientOptions) {
    super(options);
    this.#of = options;
  }

  /** Cuts all connections; whoever uses them later is refused. */
  async cut(): Promise<void> {
    await Promise.all([...this.#clusters.map((cluster) => cluster.close()), super.close()]);
  }

  override reader(options: ReaderOptions): LogReader {
    return new KafkaReader(this.#cluster(), options);
  }

  override writer(transactionalId: string): TransactionalWriter {
    return new KafkaTransactionalWriter(this.#cluster(), { transactionalId, timeoutMs: 20_000, deadlineMs: 15_000 });
  }

  override membership(group: string, topic: string): Membership {
    const options = { group, topic, sessionTimeoutMs: SESSION_MS, rebalanceTimeoutMs: 20_000, heartbeatMs: 500 };
    return new KafkaMembership(this.#cluster({ requestTimeoutMs: 60_000 }), options);
  }

  #cluster(more: Partial<KafkaClientOptions> = {}): KafkaCluster {
    const cluster = new KafkaCluster({ ...this.#of, ...more });
    this.#clusters.push(cluster);
    return cluster;
  }
}
