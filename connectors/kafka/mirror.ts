/**
 * Copies a topic to another cluster exactly once: the source offset is kept on the target cluster and moves in the
 * target's own transaction, so a batch and "it has been copied" are one thing. Bytes are copied as they are; both clusters'
 * readers need the schema ids of one registry.
 */
import { SluiceError } from '../../engine/errors.ts';
import type { LogClient, TransactionalWriter } from '../../engine/log.ts';
import type { Sink, SinkBatch, SinkPosition, TopicPartition } from '../../engine/sink.ts';

export interface MirrorOptions {
  /** Consumer group on the target, and prefix of its transactional ids. */
  readonly name: string;
  readonly topic: string;
  readonly partitions: number;
  readonly target: LogClient;
}

export function mirrorSink(options: MirrorOptions): Sink<Buffer> {
  return new MirrorSink(options);
}

class MirrorSink implements Sink<Buffer> {
  readonly name: string;
  readonly delivery = 'target';
  readonly #options: MirrorOptions;
  readonly #writers = new Map<number, TransactionalWriter>();

  constructor(options: MirrorOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Throws MIRROR_PARTITIONS (fatal): a record must keep its partition. */
  async connect(): Promise<void> {
    const { topic, partitions, target } = this.#options;
    const found = await target.partitions(topic);
    if (found === partitions) return;
    throw new SluiceError(`${topic} has ${found} partitions on the other cluster and ${partitions} here`, {
      code: 'MIRROR_PARTITIONS',
      action: 'fatal',
    });
  }

  async position({ partition }: TopicPartition): Promise<SinkPosition> {
    const { name, topic, target } = this.#options;
    await this.#writers.get(partition)?.close();
    const writer = target.writer(`${name}-${partition}`);
    this.#writers.set(partition, writer);
    await writer.fence();
    const committed = await target.committed(name, topic, partition);
    return { kind: 'offset', offset: committed?.offset ?? 0n };
  }

  async write(batch: SinkBatch<Buffer>): Promise<'written'> {
    const { name, topic } = this.#options;
    const { partition, records, to } = batch;
    const writer = this.#writers.get(partition);
    if (writer === undefined) {
      throw new SluiceError(`Partition ${partition} was not positioned`, {
        code: 'NOT_POSITIONED',
        action: 'reconnect',
      });
    }
    const now = Date.now();
    const output = writer.batch(topic, partition);
    for (const record of records) output.append(record.key, record.kind === 'upsert' ? record.value : null, now);
    await writer.commit([output], { group: name, topic, partition, offset: to, metadata: '' });
    return 'written';
  }

  async close(): Promise<void> {
    for (const writer of this.#writers.values()) await writer.close();
    this.#writers.clear();
    await this.#options.target.close();
  }
}
