/**
 * A transactional producer of the classic protocol (KIP-98), one transaction at a time.
 *
 *   new ──fence()──► ready ──commit()──► ready
 *                      └── any error ──► broken: close it; only a new fence tells what happened
 *
 * Nothing is retried whose repetition could end another transaction: EndTxn is sent once.
 */
import { SluiceError } from '../../engine/errors.ts';
import type { OutputBatch, TransactionalWriter, TransactionOffsets } from '../../engine/log.ts';
import { failOn, type KafkaCluster, type RawBroker, sendRaw } from './cluster.ts';
import { isKafka, kafkaError } from './errors.ts';
import { RecordBatchBuilder, SEQUENCES, SpareBuffers } from './record-batch.ts';
import { WireWriter } from './wire.ts';

/** https://kafka.apache.org/protocol#The_Messages_Produce */
const PRODUCE = { key: 0, version: 7, name: 'Produce' } as const;
const RETRY_FIRST_MS = 2;
const RETRY_MAX_MS = 100;

export interface TransactionOptions {
  readonly transactionalId: string;
  /** The broker aborts a transaction open for longer. */
  readonly timeoutMs: number;
  /** How long a "not yet" answer is asked again. */
  readonly deadlineMs: number;
}

interface Identity {
  readonly producerId: bigint;
  readonly epoch: number;
}

interface EncodedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  readonly chunks: readonly Buffer[];
}

export class KafkaTransactionalWriter implements TransactionalWriter {
  readonly #cluster: KafkaCluster;
  readonly #options: TransactionOptions;
  #identity: Identity | null = null;
  readonly #sequences = new Map<string, number>();
  readonly #spare = new SpareBuffers();
  #broken = false;

  /** Owns the cluster: its requests queue on one connection of their own. */
  constructor(cluster: KafkaCluster, options: TransactionOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  async fence(): Promise<void> {
    const { transactionalId, timeoutMs } = this.#options;
    const answer = await this.#asked('InitProducerId', (coordinator) =>
      coordinator.initProducerId({ transactionalId, transactionTimeout: timeoutMs }),
    );
    this.#identity = { producerId: BigInt(answer.producerId), epoch: answer.producerEpoch };
    this.#sequences.clear();
  }

  batch(topic: string, partition: number): OutputBatch {
    return new RecordBatchBuilder(topic, partition, this.#spare);
  }

  async commit(
    batches: readonly OutputBatch[],
    offsets: TransactionOffsets | null,
  ): Promise<ReadonlyMap<string, bigint>> {
    const identity = this.#identity;
    if (identity === null || this.#broken) {
      throw new SluiceError('The producer is not fenced or broken', { code: 'PRODUCER_BROKEN', action: 'reconnect' });
    }
    try {
      return await this.#commit(identity, batches, offsets);
    } catch (error) {
      this.#broken = true;
      throw kafkaError(error, `transaction of ${this.#options.transactionalId}`);
    }
  }

  async close(): Promise<void> {
    this.#broken = true;
    await this.#cluster.close();
  }

  async #commit(
    identity: Identity,
    batches: readonly OutputBatch[],
    offsets: TransactionOffsets | null,
  ): Promise<ReadonlyMap<string, bigint>> {
    const { transactionalId } = this.#options;
    const encoded = this.#encode(identity, batches);
    const request = { transactionalId, producerId: String(identity.producerId), producerEpoch: identity.epoch };
    if (encoded.length > 0) {
      const topics = [...Map.groupBy(encoded, (part) => part.topic)].map(([topic, parts]) => ({
        topic,
        partitions: parts.map((part) => part.partition),
      }));
      await this.#asked('AddPartitionsToTxn', (c) => c.addPartitionsToTxn({ ...request, topics }));
    }
    if (offsets !== null) {
      await this.#asked('AddOffsetsToTxn', (c) => c.addOffsetsToTxn({ ...request, groupId: offsets.group }));
    }
    const committed = offsets === null ? null : this.#commitOffsets(request, offsets);
    const [ends] = await Promise.all([this.#produceAll(encoded), committed]);
    const end = { ...request, transactionResult: true };
    await this.#cluster
      .askTransaction(transactionalId, (c) => c.endTxn(end))
      .catch((error: unknown) => {
        throw new SluiceError(`The outcome of a commit of ${transactionalId} is unknown; the next fence tells`, {
          code: 'COMMIT_UNKNOWN',
          action: 'reconnect',
          cause: error,
        });
      });
    return ends;
  }

  #encode(identity: Identity, batches: readonly OutputBatch[]): EncodedPartition[] {
    const encoded: EncodedPartition[] = [];
    for (const batch of batches) {
      if (batch.count === 0) continue;
      const name = `${batch.topic}-${batch.partition}`;
      const sequence = this.#sequences.get(name) ?? 0;
      const chunks = (batch as RecordBatchBuilder).encode({ ...identity, sequence, transactional: true });
      this.#sequences.set(name, (sequence + batch.count) % SEQUENCES);
      encoded.push({ topic: batch.topic, partition: batch.partition, count: batch.count, chunks });
    }
    return encoded;
  }

  async #produceAll(encoded: readonly EncodedPartition[]): Promise<Map<string, bigint>> {
    const ends = new Map<string, bigint>();
    const rounds = Math.max(0, ...encoded.map((part) => part.chunks.length));
    // The broker takes one record batch per partition and request; the rounds are in order on one connection.
    for (let round = 0; round < rounds; round++) {
      const parts = encoded.filter((part) => round < part.chunks.length);
      const byLeader = new Map<number, EncodedPartition[]>();
      for (const part of parts) {
        const leader = await this.#cluster.leaderId(part.topic, part.partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), part]);
      }
      await Promise.all([...byLeader].map(async ([leader, of]) => await this.#produce(leader, of, round, ends)));
    }
    return ends;
  }

  async #produce(
    leader: number,
    parts: readonly EncodedPartition[],
    round: number,
    ends: Map<string, bigint>,
  ): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.chunks[round]!.length, 0);
    const body = new WireWriter(bytes + 1_024)
      .string(this.#options.transactionalId)
      .int16(-1)
      .int32(10_000)
      .array([...Map.groupBy(parts, (part) => part.topic)], (writer, [topic, of]) => {
        writer.string(topic).array(of, (w, part) => w.int32(part.partition).bytes(part.chunks[round]!));
      });
    const broker = await this.#cluster.broker(leader);
    const answers = await sendRaw(broker, PRODUCE, body, (reader) =>
      reader.array((r) => ({
        topic: r.string() ?? '',
        partitions: r.array((p) => {
          const answer = { partition: p.int32(), errorCode: p.int16(), baseOffset: p.int64() };
          p.int64();
          p.int64();
          return answer;
        }),
      })),
    );
    for (const { topic, partitions } of answers) {
      for (const { partition, errorCode, baseOffset } of partitions) {
        failOn(errorCode, `produce to ${topic}-${partition}`);
        const chunk = parts.find((p) => p.topic === topic && p.partition === partition)!.chunks[round]!;
        ends.set(`${topic}-${partition}`, baseOffset + BigInt(chunk.readInt32BE(57)));
      }
    }
  }

  async #commitOffsets(request: object, offsets: TransactionOffsets): Promise<void> {
    const { group, topic, partition, offset, metadata } = offsets;
    const topics = [{ topic, partitions: [{ partition, offset: String(offset), metadata }] }];
    await this.#retried('TxnOffsetCommit', async () => {
      return await this.#cluster.askGroup(group, (c) => c.txnOffsetCommit({ ...request, groupId: group, topics }));
    });
  }

  async #asked<T>(doing: string, ask: (coordinator: RawBroker) => Promise<T>): Promise<T> {
    return await this.#retried(doing, async () => {
      return await this.#cluster.askTransaction(this.#options.transactionalId, ask);
    });
  }

  /** Repeats what the broker answers with "not yet": after a commit its markers are still being written. */
  async #retried<T>(doing: string, ask: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + this.#options.deadlineMs;
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2)) {
      try {
        return await ask();
      } catch (raw) {
        const error = kafkaError(raw, `${doing} of ${this.#options.transactionalId}`);
        const wait = error.action === 'retry' || isKafka(error, 'CONCURRENT_TRANSACTIONS');
        if (!wait || Date.now() + pauseMs > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }
}
